"""Names of people: literal text, without what no name has and no longer than a letter can carry."""

import re
import unicodedata

# Cut at the door, so that letters are honestly measured with the longest.
NAME_MAX_CHARACTERS = 100

_SPACES = re.compile(r"\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def clean_name(text: str) -> str | None:
    """The name in a text: control characters gone, white space single, cut; None when nothing is left."""
    if text.isprintable() and len(text) <= NAME_MAX_CHARACTERS and "  " not in text:
        return text.strip() or None
    name = _SPACES.sub(" ", _CONTROL.sub("", text)).strip()
    return _cut(name).strip() or None


def _cut(name: str) -> str:
    """At most NAME_MAX_CHARACTERS, a letter never parted from its marks."""
    if len(name) <= NAME_MAX_CHARACTERS:
        return name
    end = NAME_MAX_CHARACTERS
    while end > 1 and (
        unicodedata.combining(name[end]) or name[end] == "\u200d" or name[end - 1] == "\u200d"
    ):
        end -= 1
    return name[:end]
