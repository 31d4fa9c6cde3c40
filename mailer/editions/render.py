"""An edition's content becomes a letter: Jinja to MJML to HTML with inlined CSS, and Jinja to text.

The same function makes preview, test letter and campaign; they differ in `links` and slot values
only. Same content, settings and links: same bytes. Nothing here knows a reader.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailer.config import Settings
from mailer.editions.content import EditionContent
from mailer.editions.held import Held, hold_values
from mailer.editions.inline import html_of, inline_css
from mailer.editions.layout import lay_out
from mailer.editions.links import PreviewLinks, doors_of, fill, longest_bytes, sample_values
from mailer.editions.text import underline, wrap
from mailer.links import Links, Slot, Slots
from mailer.templates import environment
from subscribers.errors import NewsletterError

MJML_TEMPLATE = "email/edition.mjml.j2"
TEXT_TEMPLATE = "email/edition.txt.j2"

# A preview has no readers; its keys are filled before anybody sees them.
_PREVIEW_SLOTS = Slots("preview0")


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
    held = Held()
    mjml = _printed(
        environment(settings, finalize=hold_values),
        MJML_TEMPLATE,
        letter=letter,
        reader_name=slots.key(Slot.NAME_HTML),
        held=held,
    )
    html = held.fill(inline_css(html_of(mjml, file=MJML_TEMPLATE)))
    text = _printed(
        _text_environment(environment(settings)),
        TEXT_TEMPLATE,
        letter=letter,
        reader_name=slots.key(Slot.NAME_TEXT),
    )
    return RenderedEdition(
        html, text, held.fill(mjml), longest_bytes(html, slots), longest_bytes(text, slots)
    )


def render_preview(content: EditionContent, settings: Settings, *, name: str = "") -> RenderedEdition:
    """The letter as a campaign would send it, with sample tokens that open nothing."""
    links = PreviewLinks(doors_of(settings), content.issue_slug, content)
    rendered = render(content, settings, links, _PREVIEW_SLOTS)
    values = sample_values(name)
    return RenderedEdition(
        fill(rendered.html, _PREVIEW_SLOTS, values),
        fill(rendered.text, _PREVIEW_SLOTS, values),
        fill(rendered.mjml, _PREVIEW_SLOTS, values),
        rendered.html_bytes,
        rendered.text_bytes,
    )


@lru_cache(maxsize=32)
def _text_environment(base: ImmutableSandboxedEnvironment) -> ImmutableSandboxedEnvironment:
    made = base.overlay()
    made.filters = base.filters | {"wrap": wrap, "underline": underline}
    return made


def _printed(templates: ImmutableSandboxedEnvironment, name: str, **values: Any) -> str:
    try:
        return templates.get_template(name).render(values)
    except TemplateError as error:
        line = error.lineno if isinstance(error, TemplateSyntaxError) else None
        raise NewsletterError(
            f"this template cannot be filled: {error.message}.",
            file=name,
            line=line,
            cure="Compare it with the shipped template.",
        ) from None
