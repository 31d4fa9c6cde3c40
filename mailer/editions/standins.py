"""Text is text: values stay out of MJML and the inliner, and come back escaped at the very end.

MJML debug-escapes what is not ASCII in attributes and mj-title, lxml rewrites addresses, and either
would read markup in a title. So a template's values pass through both as plain words, `xstand00012x`.
"""

import re
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

# Words, colours, sizes and class names are safe everywhere, and MJML reckons with some of them.
_PLAIN = re.compile(r"(?:[A-Za-z0-9#.%_-]+(?: [A-Za-z0-9#.%_-]+)*)?")
_MARK = "xstand"
_MARKS = re.compile(rf"{_MARK}([0-9]{{5,}})x")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


# Short words whose hyphen is no place to break: CAR-T, anti-CD38, T-cell. Longer ones must fit a phone.
_HYPHENATED = re.compile(r"(?<![\w-])(?=[A-Z]-\w|\w[\w-]*-[A-Z])[\w-]{3,10}(?![\w-])")


class StandIns:
    """The values of one rendering, in the order in which the template printed them."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def stand_in(self, value: str) -> str:
        """A plain word that stands for the value until `fill`."""
        if _PLAIN.fullmatch(value) and _MARK not in value:
            return value
        self._values.append(value)
        return f"{_MARK}{len(self._values) - 1:05d}x"

    def fill(self, markup: str) -> str:
        """The markup with every value back in its place, escaped for text and quoted attributes."""
        return _MARKS.sub(self._value, markup)

    def _value(self, mark: re.Match[str]) -> str:
        return self._values[int(mark[1])].translate(_ESCAPES)


@pass_context
def held(context: Context, value: str) -> Markup:
    """A text whose words like CAR-T stay on one line, for places that are no attribute."""
    stand_in = context["stand_ins"].stand_in
    pieces, at = [], 0
    for word in _HYPHENATED.finditer(value):
        kept = f'<span style="white-space:nowrap">{stand_in(word[0])}</span>'
        pieces += [stand_in(value[at : word.start()]), kept]
        at = word.end()
    return Markup("".join([*pieces, stand_in(value[at:])]))  # noqa: S704 - stand-ins are plain ASCII


@pass_context
def stand_in_for_values(context: Context, value: Any) -> Any:
    """Jinja's `finalize` of mails: every string that is no markup of the template itself is stood in for."""
    if isinstance(value, str) and not isinstance(value, Markup):
        # A stand-in is plain ASCII: the value itself is escaped when it comes back.
        return Markup(context["stand_ins"].stand_in(value))  # noqa: S704
    return value
