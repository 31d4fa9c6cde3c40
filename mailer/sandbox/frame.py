"""A letter's HTML as it may be shown in the mailbox: in a document of its own that can do nothing.

The letter is hostile. Its document gets no script, no network (images only when asked for), no form
and no origin; links open in a tab of their own. Nothing of it is cleaned: what is shown is what came.
"""

import re
from typing import Literal

Theme = Literal["auto", "light", "dark"]

_STYLE = re.compile(r"(<style\b[^>]*>)(.*?)(</style\s*>)", re.IGNORECASE | re.DOTALL)
_MEDIA = re.compile(r"""(\bmedia\s*=\s*)("[^"]*"|'[^']*')""", re.IGNORECASE)
_SCHEME = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
# Where our lines go: after the first of these that the letter has, so that its doctype stays first.
_OPENINGS = (
    re.compile(r"<head\b[^>]*>", re.IGNORECASE),
    re.compile(r"<html\b[^>]*>", re.IGNORECASE),
    re.compile(r"<!doctype\b[^>]*>", re.IGNORECASE),
)
_ANCHOR = re.compile(r"""<a\b(?=[^>]*\bhref\s*=\s*["']#)""", re.IGNORECASE)
_ALWAYS, _NEVER = "(min-width: 0px)", "(max-width: 0px)"


def framed(letter_html: str, theme: Theme) -> str:
    """The document for the frame: a theme forced if wanted, links led into new tabs."""
    document = letter_html
    lines = '<base target="_blank">'
    if theme != "auto":
        document = _STYLE.sub(lambda found: found[1] + _forced(found[2], theme) + found[3], document)
        document = _MEDIA.sub(lambda found: found[1] + _forced(found[2], theme), document)
        lines += f"<style>:root{{color-scheme:{theme} !important}}</style>"
    # The contents list of a letter scrolls; a doubled attribute counts as first written.
    document = _ANCHOR.sub('<a target="_self"', document)
    for opening in _OPENINGS:
        found = opening.search(document)
        if found:
            return document[: found.end()] + lines + document[found.end() :]
    return lines + document


def _forced(css: str, theme: Theme) -> str:
    return _SCHEME.sub(lambda found: _ALWAYS if found[1].lower() == theme else _NEVER, css)


def frame_policy(*, with_images: bool) -> str:
    """The Content-Security-Policy of the frame's document."""
    images = "data: http: https:" if with_images else "data:"
    return (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
        f"style-src 'unsafe-inline'; img-src {images}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    )
