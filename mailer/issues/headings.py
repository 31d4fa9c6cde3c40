"""Headings and labels: what they mean, however they were typed (`#`, case, colon, quotes, bold)."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from mailer.config_tables import HeadingsTable
from mailer.issues import urls
from mailer.issues.emoji import split_emoji

_BULLET = re.compile(r"[-–—*]\s+|[•●◦▪‣∙·]\s*")
_HASHES = re.compile(r"#{1,6}\s+")
# Before a known name the space may lack; `#️⃣` is an emoji.
_HASHES_OF_NAME = re.compile(r"#{1,6}(?![\ufe0f\u20e3])\s*")
_BOLD = re.compile(r"(\*\*|__|[*_])([^\s*_](?:.*[^\s*_])?)\1")
_QUESTION_MARKS = "?？؟"
_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'", "“": '"', "”": '"', "„": '"'})
_MARKS = "*_"
_LABEL_END = re.compile(r"\s*[:：]|\s+[-–—](?=\s)")
# Names of parts and labels are short; a long line need not be looked through for one.
NAME_MAX_CHARACTERS = 80


class Part(StrEnum):
    """The parts of an issue; the values name the keys of `[headings]` where there is one."""

    INTRO = "intro"
    CONTENTS = "contents"
    DIVE_DEEPER = "dive_deeper"
    STORIES = "stories"
    WHY_IT_MATTERS = "why_it_matters"
    FAQ = "faq"
    KEYWORDS = "keywords"
    REFERENCES = "references"
    UNKNOWN = "unknown"  # below a `#` heading that nobody knows


HEADED = (Part.CONTENTS, Part.DIVE_DEEPER, Part.WHY_IT_MATTERS, Part.FAQ, Part.KEYWORDS, Part.REFERENCES)
# Parts whose content may stand behind the heading on its own line: "Keywords: a; b".
INLINE = (Part.KEYWORDS, Part.REFERENCES)
# Names of the references that may as well stand under one story or answer.
NAMES_OF_ONE_SOURCE = frozenset({"source", "reference"})
LABELS = ("context", "key_point", "implication")  # in their order under a story


@dataclass(frozen=True, slots=True)
class Heading:
    part: Part
    before: str  # printed in front of the name
    name: str
    after: str
    rest: str = ""  # content on the same line


@dataclass(frozen=True, slots=True)
class Label:
    name: str  # of LABELS
    before: str  # printed, colon and closing marks included
    text: str  # with the space in front of it
    after: str


class Vocabulary:
    """The product's own headings together with those of config.toml."""

    def __init__(self, configured: HeadingsTable) -> None:
        self._parts: dict[str, Part] = {}
        self._labels: dict[str, str] = {}
        for table in (HeadingsTable(), configured):
            for part in HEADED:
                self._parts.update((fold(name), part) for name in getattr(table, part.value))
            for label in LABELS:
                self._labels.update((fold(name), label) for name in getattr(table, label))

    def heading(self, text: str) -> Heading | None:
        """The heading that a line is, or None."""
        if len(text) > NAME_MAX_CHARACTERS:
            return self._inline_heading(text)
        start, dressed, _ = undress(text)
        asked = dressed.rstrip(_QUESTION_MARKS).rstrip().rstrip(_MARKS if start else "")  # "Why it matters?"
        for name in (dressed, asked):
            for bare in (name, split_emoji(name)[2]):
                if part := self._parts.get(fold(bare)):
                    before = start + name[: len(name) - len(bare)]
                    return Heading(part, before, bare, text[len(before) + len(bare) :])
        return self._inline_heading(text)

    def label(self, text: str) -> Label | None:
        """`Key point: …`, `**Key point:** …`, `- Key point: …`, `🔑 Key point: …`; else None."""
        start = len(text) - len(split_emoji(strip_bullet(text))[2])
        opening = len(text[start:]) - len(text[start:].lstrip(_MARKS))
        body = start + opening
        for end in _LABEL_END.finditer(text, body, body + NAME_MAX_CHARACTERS):
            name = text[body : end.start()].rstrip(_MARKS)
            if (label := self._labels.get(fold(name))) is None:
                continue
            after_colon = end.end()
            closing = len(text[after_colon:]) - len(text[after_colon:].lstrip(_MARKS))
            marks = text[start:body]
            closed = text[body + len(name) : end.start()].strip() or closing
            cut = after_colon + (closing if marks else 0)
            rest, tail = text[cut:], ""
            if marks and not closed and rest.endswith(marks[::-1]):
                rest, tail = rest[: -len(marks)], marks[::-1]
            return Label(label, text[:cut], rest, tail)
        return None

    def _inline_heading(self, text: str) -> Heading | None:
        before, _, _ = undress(text)
        match = _LABEL_END.search(text, len(before), len(before) + NAME_MAX_CHARACTERS)
        if match is None:
            return None
        name = text[len(before) : match.start()].rstrip(_MARKS)
        part = self._parts.get(fold(name))
        if part not in INLINE:
            return None
        end = match.end() + len(text[match.end() :]) - len(text[match.end() :].lstrip(_MARKS + " \t"))
        if part is Part.REFERENCES and not urls.is_list(text[end:]):
            return None
        return Heading(part, before, name, text[len(before) + len(name) : end], text[end:])


def fold(text: str) -> str:
    """A name for comparison: case, quotes, spaces and the space around a slash do not count."""
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()
    return re.sub(r"\s*/\s*", "/", " ".join(text.split()))


def undress(text: str) -> tuple[str, str, str]:
    """(before, name, after): a line without `#`, bold marks and a closing colon."""
    match = _HASHES_OF_NAME.match(text)
    start = match.end() if match else 0
    start += len(text[start:]) - len(text[start:].lstrip(_MARKS))
    name = text[start:].rstrip("#" if match else "").rstrip() if match else text[start:]
    name = name.rstrip(_MARKS).rstrip().rstrip(":：").rstrip().rstrip(_MARKS if start else "")
    return text[:start], name, text[start + len(name) :]


def is_hash_heading(text: str) -> bool:
    return _HASHES.match(text) is not None


def strip_hashes(text: str) -> str:
    match = _HASHES.match(text)
    return text[match.end() :] if match else text


def strip_bullet(text: str) -> str:
    """A line without its bullet, `-`, `•` or `*` and a space; `-name-` has none."""
    match = _BULLET.match(text)
    return text[match.end() :] if match else text


def has_bullet(text: str) -> bool:
    return _BULLET.match(text) is not None


def without_bold(text: str) -> tuple[str, str]:
    """(inside, marks) of a text that is bold as a whole; marks are empty when it is not."""
    match = _BOLD.fullmatch(text)
    if match is None or match[1] in match[2]:
        return text, ""
    return match[2], match[1]
