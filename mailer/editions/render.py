"""An edition's content becomes a letter: Jinja to MJML to HTML with inlined CSS, and Jinja to text.

The same function makes preview, test letter and campaign; they differ in `links` and slot values
only. Same content, settings and links: same bytes. Nothing here knows a reader.
"""

import traceback
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

from jinja2 import Environment, TemplateError, TemplateSyntaxError

from mailer.config import Settings
from mailer.editions.colours import theme_of
from mailer.editions.content import EditionContent
from mailer.editions.inline import html_of, inline_css
from mailer.editions.layout import initials, lay_out
from mailer.editions.links import PreviewLinks, fill, longest_bytes, sample_values
from mailer.editions.standins import StandIns, held, stand_in_for_values
from mailer.editions.text import underline, wrap
from mailer.links import Links, Slot, Slots, doors_of
from mailer.templates import direction, environment
from subscribers.errors import NewsletterError

MJML_TEMPLATE = "email/edition.mjml.j2"
TEXT_TEMPLATE = "email/edition.txt.j2"


@dataclass(frozen=True, slots=True)
class RenderedEdition:
    """A letter with slot keys; the sizes are UTF-8 bytes with every slot at its longest."""

    html: str
    text: str
    mjml: str
    html_bytes: int
    text_bytes: int


def render(content: EditionContent, settings: Settings, links: Links, slots: Slots) -> RenderedEdition:
    """The letter of an edition. Raises NewsletterError when a template of the site is at fault."""
    letter = lay_out(content, settings, links)
    stand_ins = StandIns()
    mjml = _printed(
        _mjml_environment(environment(settings, finalize=stand_in_for_values)),
        MJML_TEMPLATE,
        letter=letter,
        reader_name=slots.key(Slot.NAME_HTML),
        stand_ins=stand_ins,
    )
    html = stand_ins.fill(inline_css(html_of(mjml, file=MJML_TEMPLATE)))
    text = _printed(
        _text_environment(environment(settings)),
        TEXT_TEMPLATE,
        letter=letter,
        reader_name=slots.key(Slot.NAME_TEXT),
    )
    return RenderedEdition(
        html, text, stand_ins.fill(mjml), longest_bytes(html, slots), longest_bytes(text, slots)
    )


def render_preview(content: EditionContent, settings: Settings, *, name: str = "") -> RenderedEdition:
    """The letter as a campaign would send it, with sample tokens that open nothing."""
    links = PreviewLinks(doors_of(settings), content.issue_slug, content)
    slots = _preview_slots(content, settings)
    rendered = render(content, settings, links, slots)
    values = sample_values(name)
    return RenderedEdition(
        fill(rendered.html, slots, values),
        fill(rendered.text, slots, values),
        fill(rendered.mjml, slots, values),
        rendered.html_bytes,
        rendered.text_bytes,
    )


def _preview_slots(content: EditionContent, settings: Settings) -> Slots:
    """Keys that no text contains; not drawn by lot, since a preview's bytes are the same every time."""
    texts = repr((content, settings.newsletter))
    nonces = (f"preview{number}" for number in count())
    return Slots(next(nonce for nonce in nonces if nonce not in texts))


def render_single(name: str, settings: Settings, **values: Any) -> tuple[str, str]:
    """HTML and text of a letter that is no edition: letters/NAME.mjml.j2 and .txt.j2, in the house's colours.

    Both templates get the values and `newsletter`, `theme`, `initials`, `start` and `end`.
    """
    newsletter = settings.newsletter
    is_from_right = direction(newsletter.language) == "rtl"
    given = values | {
        "newsletter": newsletter,
        "theme": theme_of(newsletter.brand_colour),
        "initials": initials(newsletter.name),
        "start": "right" if is_from_right else "left",
        "end": "left" if is_from_right else "right",
    }
    stand_ins = StandIns()
    file = f"letters/{name}.mjml.j2"
    templates = _mjml_environment(environment(settings, finalize=stand_in_for_values))
    mjml = _printed(templates, file, **given, stand_ins=stand_ins)
    html = stand_ins.fill(inline_css(html_of(mjml, file=file)))
    text = _printed(_text_environment(environment(settings)), f"letters/{name}.txt.j2", **given)
    return html, text


@lru_cache(maxsize=32)
def _mjml_environment(base: Environment) -> Environment:
    made = base.overlay()
    made.filters = base.filters | {"held": held}
    return made


@lru_cache(maxsize=32)
def _text_environment(base: Environment) -> Environment:
    made = base.overlay()
    made.filters = base.filters | {"wrap": wrap, "underline": underline}
    return made


def _printed(templates: Environment, name: str, **values: Any) -> str:
    try:
        return templates.get_template(name).render(values)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        file, line = _place(error, name)
        raise NewsletterError(
            f"this template cannot be filled: {error}.",
            file=file,
            line=line,
            cure="Compare it with the shipped template.",
        ) from error


def _place(error: Exception, name: str) -> tuple[str, int | None]:
    """File and line of a template's fault: Jinja puts its own lines into the traceback."""
    if isinstance(error, TemplateSyntaxError):
        return error.filename or name, error.lineno
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".j2"):
            return frame.filename, frame.lineno
    return name, None
