"""Where templates come from, for mails and pages alike: the site's own folder first, then the shipped one.

Site owners edit templates, so they run in Jinja's immutable sandbox, an unknown name is an error, and
everything is escaped except plain text (`.txt.j2`). Every fixed word goes through `_()`.
"""

import gettext
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailer.config import Settings

TEMPLATES = "templates"
# Compiled catalogues: locale/<language>/LC_MESSAGES/mailer.mo, in the site's folder.
LOCALES = "locale"
DOMAIN = "mailer"

_PACKAGE = Path(__file__).parent
# The wheel carries a copy under _site; a checkout has the folder itself.
_SHIPPED = (_PACKAGE / "_site" / TEMPLATES, _PACKAGE.parent / TEMPLATES)

Finalize = Callable[..., Any]
DateStyle = Literal["full", "long", "medium", "short"]


def template_folders(settings: Settings) -> tuple[Path, ...]:
    """The folders to look in, in order; a site may own some files and leave the rest to us."""
    shipped = next((folder for folder in _SHIPPED if folder.is_dir()), _SHIPPED[-1])
    site = settings.path(TEMPLATES).absolute()
    return (site, shipped) if site.is_dir() and site != shipped else (shipped,)


def environment(
    settings: Settings, language: str = "", *, finalize: Finalize | None = None
) -> ImmutableSandboxedEnvironment:
    """The one environment of a language; `finalize` sees every value before it is escaped."""
    return _environment(
        template_folders(settings),
        settings.path(LOCALES).absolute(),
        language or settings.newsletter.language,
        finalize,
    )


def locale_of(language: str) -> Locale:
    """The locale of a language tag like "en", "pt-BR" or "he"; English when Babel knows none."""
    for tag in (language.replace("-", "_"), language.replace("_", "-").split("-")[0]):
        try:
            return Locale.parse(tag)
        except (ValueError, UnknownLocaleError):
            continue
    return Locale("en")


def language_tag(language: str) -> str:
    """The BCP 47 tag for `lang`: what was configured when it is a known language, else "en"."""
    locale = locale_of(language)
    tag = language.replace("_", "-")
    return tag if tag.split("-")[0].lower() == locale.language else str(locale.language)


def direction(language: str) -> str:
    """ "rtl" for Arabic, Hebrew, Persian and the like, else "ltr"."""
    return "rtl" if locale_of(language).character_order == "right-to-left" else "ltr"


def is_escaped(template_name: str | None) -> bool:
    """Everything is escaped but plain text; Jinja's own default forgets `.html.j2` and `.mjml.j2`."""
    return not (template_name or "").endswith((".txt", ".txt.j2"))


@lru_cache(maxsize=32)
def _environment(
    folders: Sequence[Path], locales: Path, language: str, finalize: Finalize | None
) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folders, encoding="utf-8"),
        autoescape=is_escaped,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    locale = locale_of(language)
    catalogue = gettext.translation(DOMAIN, locales, [str(locale), locale.language], fallback=True)
    made.globals |= {
        "_": _formatted(catalogue.gettext),
        "ngettext": _counted(catalogue.ngettext),
        "language": language_tag(language),
        "direction": direction(language),
    }
    made.filters |= {
        "day": partial(_day, locale=locale),
        "moment": partial(_moment, locale=locale),
        "number": partial(format_decimal, locale=locale),
    }
    return made


def _formatted(translate: Callable[[str], str]) -> Callable[..., str]:
    def gettext_of(message: str, **values: object) -> str:
        return translate(message) % values if values else translate(message)

    return gettext_of


def _counted(translate: Callable[[str, str, int], str]) -> Callable[..., str]:
    def ngettext_of(one: str, many: str, count: int, **values: object) -> str:
        return translate(one, many, count) % {"count": count, **values}

    return ngettext_of


def _day(value: date | datetime, style: DateStyle = "long", *, locale: Locale) -> str:
    return format_date(value, style, locale=locale)


def _moment(value: datetime, style: DateStyle = "medium", *, locale: Locale) -> str:
    return format_datetime(value, style, locale=locale)
