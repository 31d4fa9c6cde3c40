"""What stands at the end of a line: `[1][3]` and `[REGION • date]`, read from the right.

Brackets are legal in titles, so only a last bracket that says a number, or a place and a time, counts;
everything else stays text.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale

from mailer.issues import dates
from mailer.issues.source import split_edges, trim_end

# `[REGION • date]`: marks that editors type for the bullet, and those that are also parts of words.
_CLEAR_MARKS = "•·|‧∙・⋅●"
_JOINT = re.compile(rf"\s*[{_CLEAR_MARKS}]\s*|\s+[-–—/]\s+|\s*[,;]\s*|[-–—/]")
# Joints only between a known region and a date: `[US: 21 Jan 2026]`, `[US 21 Jan 2026]`.
_LOOSE_JOINT = re.compile(r"\s*[:：]\s*|\s*[,;]\s*|\s+")
_NUMBERS = re.compile(r"\d{1,3}(?:\s*[,;]\s*\d{1,3})*|\d{1,3}\s*[-–]\s*\d{1,3}")
_RANGE = re.compile(r"(\d+)\s*[-–]\s*(\d+)")
# Longest text in a bracket that is still looked at: "United Kingdom of … • 21 September 2026".
BRACKET_MAX_CHARACTERS = 80
# `[1–30]` is a range of citations; `[100–900]` is a measurement.
RANGE_MAX_LENGTH = 40
# More brackets in a row than any issue has references.
MOST_BRACKETS = 60
# Names of places that newsrooms use and that are no countries.
_MORE_REGIONS = (
    *("uk", "usa", "u.s.", "u.k.", "emea", "apac", "latam", "mena", "row", "ww", "eea", "mea", "nordics"),
    *("global", "worldwide", "international", "dach", "benelux", "asean", "gcc", "cee", "amer", "america"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """`[US • 21 Jan 2026]` taken apart; `joint` is what stood between."""

    region: str | None
    date_text: str | None
    joint: str
    is_certain: bool  # False: taken for a place only because it follows an `[n]`


@dataclass(frozen=True, slots=True)
class Ending:
    """A line without its marks, and the marks: `pieces` gives them in printed order with their space."""

    body: str
    citations: tuple[int, ...]
    place: Place | None
    pieces: tuple[tuple[str, str], ...]  # ("citations" | "place", printed text)
    bold: str = ""  # the marks that close behind them: the whole line is bold

    def printed(self, kind: str) -> str:
        return next((text for name, text in self.pieces if name == kind), "")


def read_citations(text: str) -> tuple[str, tuple[int, ...], str]:
    """(body, numbers, printed marks) of a line that may end in `[1]`, `[1][3]` or `[1, 3]`."""
    numbers: list[int] = []
    body = text
    for _ in range(MOST_BRACKETS):
        if (found := _last_bracket(body)) is None:
            break
        before, inner = found
        here = _numbers(inner)
        if here is None:
            break
        numbers[:0] = here
        body = before
    return body, tuple(numbers), text[len(body) :]


def read_ending(text: str) -> Ending | None:
    """The marks that make a line the title of a story; None when it ends in none."""
    body, citations, cited = read_citations(text)
    if citations:  # `[US • 21 Jan 2026] [1]`, or only `[1]`
        found = _last_bracket(body)
        place = _place(found[1]) if found else None
        if found is None or place is None:
            return Ending(body, citations, None, (("citations", cited),))
        printed = (("place", body[len(found[0]) :]), ("citations", cited))
        return Ending(found[0], citations, place, printed)
    found = _last_bracket(text)
    if found is None:
        return None
    before, inner = found
    bracket = text[len(before) :]
    body, citations, cited = read_citations(before)
    place = _place(inner) or (_likely_place(inner) if citations else None)
    if place is None:
        return None
    cites = (("citations", cited),) if citations else ()
    return Ending(body, citations, place, (*cites, ("place", bracket)))


def _last_bracket(text: str) -> tuple[str, str] | None:
    """(text before, without its trailing space; inside) of a closing bracket pair."""
    if not text.endswith("]"):
        return None
    start = text.rfind("[", max(0, len(text) - BRACKET_MAX_CHARACTERS - 2))
    if start < 0 or "]" in text[start:-1]:
        return None
    return trim_end(text[:start]), text[start + 1 : -1]


def _numbers(inner: str) -> list[int] | None:
    inner = split_edges(inner)[1]
    if not _NUMBERS.fullmatch(inner):
        return None
    if match := _RANGE.fullmatch(inner):
        first, last = int(match[1]), int(match[2])
        if not 0 < last - first < RANGE_MAX_LENGTH:
            return None
        return list(range(first, last + 1)) if first > 0 else None
    numbers = [int(number) for number in re.findall(r"\d+", inner)]
    return numbers if all(numbers) else None


def _place(inner: str) -> Place | None:
    """A bracket that certainly says where and when."""
    inner = split_edges(inner)[1]
    if not (text := inner):
        return None
    for found in _LOOSE_JOINT.finditer(text):  # before all else: "FR, 23 Jan 2026" is no Friday
        region, when = text[: found.start()], text[found.end() :]
        if is_region(region) and dates.understand(when) is not None:
            return Place(region, when, found[0], True)
    if dates.understand(text) is not None:
        return Place(None, text, " • ", True)
    pairs = [(inner[: j.start()].strip(), inner[j.end() :].strip(), j[0]) for j in _JOINT.finditer(inner)]
    clear = [pair for pair in pairs if pair[2].strip() and pair[2].strip() in _CLEAR_MARKS]
    for left, right, joint in clear or pairs:
        says_where = not left or any(character.isalpha() for character in left)
        if says_where and dates.understand(right) is not None:
            return Place(left or None, right, joint, True)
    for left, right, joint in clear:
        if left or right:
            return Place(left or None, right or None, joint, True)
    for left, right, joint in pairs:
        if is_region(left) and dates.looks_like_date(right):
            return Place(left, right, joint, True)
    if is_region(text):
        return Place(text, None, " • ", True)
    return Place(None, text, " • ", True) if dates.looks_like_date(text) else None


def _likely_place(inner: str) -> Place | None:
    """A bracket behind an `[n]`: where else would it come from? It is taken with a warning."""
    text = split_edges(inner)[1]
    if not text or not any(character.isalpha() for character in text):
        return None
    return Place(text, None, " • ", False)


def is_region(text: str) -> bool:
    """Whether a text is a code or English name of a country or a part of the world."""
    parts = re.split(r"\s*(?:[/&+,]|\band\b)\s*", text.strip())
    return bool(parts) and all(_is_one_region(part) for part in parts)


def _is_one_region(text: str) -> bool:
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded in _regions():
        return True
    # Codes only in capitals: "[it]" and "[in]" are words.
    return text.isupper() and text.isalpha() and text.casefold() in _codes()


@lru_cache(maxsize=1)
def _regions() -> frozenset[str]:
    names = {str(name).casefold() for name in Locale("en").territories.values()}
    return frozenset(names | set(_MORE_REGIONS))


@lru_cache(maxsize=1)
def _codes() -> frozenset[str]:
    codes = map(str, Locale("en").territories)
    return frozenset(code.casefold() for code in codes if code.isalpha())
