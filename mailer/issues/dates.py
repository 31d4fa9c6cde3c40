"""Dates as editors write them, in many languages; what is ambiguous is not understood, never guessed."""

import re
import unicodedata
from datetime import date
from functools import lru_cache

from babel import Locale

# Languages whose month names are known beside English; loaded only when English does not do.
_LANGUAGES = (
    *("de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sk", "sv", "da", "nb", "fi", "hu", "ro", "tr", "el"),
    *("ru", "uk", "bg", "hr", "ca", "et", "lv", "lt", "sl", "id", "vi", "ar", "he", "fa", "hi"),
)
_YEAR_FIRST = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?")
_KOREAN = re.compile(r"(\d{4})\s*년\s*(\d{1,2})\s*월\s*(\d{1,2})\s*일")
_NUMBERS = re.compile(r"(\d{1,2})\s*([-/.])\s*(\d{1,2})\s*\2\s*(\d{4})")
_DAY_FIRST = re.compile(
    r"(\d{1,2})(?:st|nd|rd|th|er|º|ª|\.)?[\s\-.]*(?:de\s+|d['’])?([^\W\d_]+)\.?,?[\s\-]*(?:de\s+)?(\d{4})"
)
_MONTH_FIRST = re.compile(r"([^\W\d_]+)\.?[\s\-]*(\d{1,2})(?:st|nd|rd|th)?,?[\s\-]+(\d{4})", re.IGNORECASE)
_WEEKDAY = re.compile(r"([^\W\d_]{2,12}(?:-feira)?)\.?,\s+(?=.*\d.*\d{4})")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_YEAR_ENDING = re.compile(r"(?:г\.?|р\.?|r\.?|m\.)$", re.IGNORECASE)


def understand(text: str) -> date | None:
    """The date that a text says; None when it says none, or could be two."""
    text = unicodedata.normalize("NFKC", text).strip().strip(".")
    if (match := _WEEKDAY.match(text)) and _is_weekday(match[1]):
        text = text[match.end() :]
    text = _YEAR_ENDING.sub("", text).strip() if text and not text[-1].isdigit() else text
    for pattern in (_YEAR_FIRST, _KOREAN):
        if match := pattern.fullmatch(text):
            return _date(match[1], match[2], match[3])
    if match := _NUMBERS.fullmatch(text):
        return _from_numbers(int(match[1]), match[2], int(match[3]), match[4])
    if (match := _DAY_FIRST.fullmatch(text)) and (month := _month(match[2])):
        return _date(match[3], month, match[1])
    if (match := _MONTH_FIRST.fullmatch(text)) and (month := _month(match[1])):
        return _date(match[3], month, match[2])
    return None


def looks_like_date(text: str) -> bool:
    """Whether a text names a month and a year, as "Jan 2026" or "20-22 Jan 2026" do."""
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", text))
    return bool(_YEAR.search(text)) and any(_month(word) for word in words)


def _from_numbers(first: int, mark: str, second: int, year: str) -> date | None:
    if mark == "." or first > 12 or first == second:  # 21.01.2026 is day first wherever it is written
        return _date(year, second, first)
    if second > 12:
        return _date(year, first, second)
    return None


def _date(year: str | int, month: str | int, day: str | int) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _month(word: str) -> int | None:
    folded = _fold(word)
    return _english().get(folded) or (None if len(folded) < 2 else _other_languages().get(folded))


def _is_weekday(word: str) -> bool:
    folded = _fold(word)
    return folded in _weekdays(("en",)) or folded in _weekdays(_LANGUAGES)


def _fold(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn").strip(".")


@lru_cache(maxsize=1)
def _english() -> dict[str, int]:
    return _names("en") | {"sept": 9}


@lru_cache(maxsize=1)
def _other_languages() -> dict[str, int]:
    months: dict[str, int] = {}
    clashing: set[str] = set()
    for language in _LANGUAGES:
        for name, number in _names(language).items():
            if months.setdefault(name, number) != number:
                clashing.add(name)  # Croatian "listopad" is October, Czech and Polish November
    return {name: number for name, number in months.items() if name not in clashing}


@lru_cache(maxsize=2)
def _weekdays(languages: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        _fold(name)
        for language in languages
        for usage in ("format", "stand-alone")
        for width in ("wide", "abbreviated", "short")
        for name in Locale(language).days[usage][width].values()
    )


def _names(language: str) -> dict[str, int]:
    months = Locale(language).months
    return {
        _fold(name): number
        for usage in ("format", "stand-alone")
        for width in ("wide", "abbreviated")
        for number, name in months[usage][width].items()
        if not name.isdigit() and len(_fold(name)) > 1 and _fold(name).isalpha()
    }
