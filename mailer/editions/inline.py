"""MJML to HTML, then CSS inlined: the one place that knows what both libraries get wrong.

The option set is the only one of premailer's that keeps doctype, MSO comments, @media with its
!important and image widths. Nothing here may touch the network.
"""

import logging
import re
from typing import Any

import cssutils
from mjml import mjml2html
from premailer import Premailer

from subscribers.errors import NewsletterError

# premailer compares doctypes letter by letter and drops MRML's lower-case one: quirks mode.
_DOCTYPE = "<!doctype html>"
# MRML's own reset rules stand in the head; copied onto every table and cell they cost 20 kB.
_STYLE = '<style type="text/css">'
_STYLE_LEFT_ALONE = '<style type="text/css" data-premailer="ignore">'
_UNREAD = re.compile(r"</?mj-[a-z-]+")
# Rules that are only wanted in style attributes: Gmail reads no more than 8 kB of style blocks.
_INLINE_ONLY = re.compile(r'<style[^>]*\sdata-inline="only"[^>]*>.*?</style>\s*', re.DOTALL)
# How MRML prints what is not ASCII in attributes.
_DEBUG_ESCAPE = re.compile(r"\\u\{[0-9a-f]+\}")

# Printed rules by style block; premailer only reads them. One block a brand colour and language.
_RULES: dict[tuple[str, int], Any] = {}
_RULES_KEPT = 64

# The -mso- properties are no CSS to cssutils, and it says so for every letter.
cssutils.log.setLevel(logging.CRITICAL)


def html_of(mjml: str, *, file: str) -> str:
    """The HTML of an MJML document. Raises NewsletterError naming the template `file`."""
    try:
        html = str(mjml2html(mjml, disable_comments=True, fonts={}))
    except ValueError as error:
        raise NewsletterError(
            f"this template does not make valid MJML: {error}.",
            file=file,
            cure="Close every element and write & as &amp;.",
        ) from None
    if unread := _UNREAD.search(html):
        raise NewsletterError(
            f"MJML does not know {unread[0]}> at its place.",
            file=file,
            cure="Compare the element with the shipped template.",
        )
    if _DEBUG_ESCAPE.search(html) and not _DEBUG_ESCAPE.search(mjml):
        raise NewsletterError(
            "an attribute or mj-title of this template has characters that MJML cannot print.",
            file=file,
            cure="Write such text as a value, for example {{ _('Été') }}.",
        )
    return html.replace(_DOCTYPE, "<!DOCTYPE html>", 1)


class _Inliner(Premailer):  # type: ignore[misc]
    """premailer, printing the rules of a style block once: they are the same in every edition."""

    def _parse_style_rules(self, css_body: str, ruleset_index: int) -> Any:
        if (css_body, ruleset_index) not in _RULES:
            if len(_RULES) >= _RULES_KEPT:
                _RULES.clear()
            _RULES[css_body, ruleset_index] = super()._parse_style_rules(css_body, ruleset_index)
        return _RULES[css_body, ruleset_index]


def inline_css(html: str) -> str:
    """The HTML with the template's rules in style attributes; only data-inline="only" blocks go."""
    # The first block is MRML's reset; the template's own blocks say for themselves what to leave alone.
    html = html.replace(_STYLE, _STYLE_LEFT_ALONE, 1)
    inliner = _Inliner(
        html,
        keep_style_tags=True,
        strip_important=False,
        disable_validation=True,
        allow_network=False,
        disable_basic_attributes=["width", "height", "align", "valign", "bgcolor"],
        align_floating_images=False,
        disable_link_rewrites=True,
    )
    return _INLINE_ONLY.sub("", str(inliner.transform(pretty_print=False)))
