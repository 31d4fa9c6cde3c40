"""Change one field of an issue; every line but that field's stays as it was, byte for byte.

An edit is checked by reading the result again: a value that the text could not say (a title that ends
in a bracket, a key point with a line break) is refused, never bent.
"""

from dataclasses import fields, is_dataclass, replace
from datetime import date
from typing import Any

from mailer.config_tables import HeadingsTable
from mailer.issues.document import IssueDocument
from mailer.issues.layout import Path, lines_of
from mailer.issues.parse import parse
from mailer.issues.serialize import serialize
from subscribers.errors import NewsletterError

# Derived from the text, or about its lines: no values of their own.
_DERIVED = ("id", "line", "lines", "date", "layout", "warnings")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def with_field(
    document: IssueDocument, path: Path, value: Any, *, headings: HeadingsTable, file: str = "issue"
) -> IssueDocument:
    """The document with one field changed, for example `("stories", 2, "title")` or `("keywords",)`.

    None or an empty value takes the field away where the format allows it. Story ids stay.
    Raises NewsletterError when the text cannot say the value.
    """
    if path[-1] == "date":
        path = (*path[:-1], "date_text")
        value = f"{value.day} {_MONTHS[value.month - 1]} {value.year}" if isinstance(value, date) else value
    wanted = _replaced(document, path, value)
    try:
        source = serialize(wanted)
    except UnicodeEncodeError:
        raise _refusal(path, document, file) from None
    found = parse(source, file=file, headings=headings)
    if _values(found) != _values(wanted):
        raise _refusal(path, document, file)
    ids = [story.id for story in document.stories]
    stories = tuple(replace(story, id=ids[index]) for index, story in enumerate(found.stories))
    return replace(found, stories=stories)


def field_lines(document: IssueDocument, path: Path) -> list[int]:
    """The physical lines on which a field is printed, from 1; empty when it has none yet."""
    if path[-1] in ("region", "date_text", "date"):
        path = (*path[:-1], "place")
    return lines_of(document.layout, path)


def _replaced(owner: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return (*owner[:step], _replaced(owner[step], rest, value), *owner[step + 1 :])
    if not is_dataclass(owner) or step in _DERIVED or not hasattr(owner, step):
        raise NewsletterError(f"'{step}' is no field of an issue that can be changed.", field=str(step))
    return replace(owner, **{step: _replaced(getattr(owner, step), rest, value)})  # type: ignore[type-var]


def _values(document: IssueDocument) -> Any:
    """Everything that the text says, without where it says it."""
    return _without_derived(document)


def _without_derived(value: Any) -> Any:
    if is_dataclass(value):
        names = (field.name for field in fields(value) if field.name not in _DERIVED)
        return {name: _without_derived(getattr(value, name)) for name in names}
    return [_without_derived(item) for item in value] if isinstance(value, tuple) else value


def _refusal(path: Path, document: IssueDocument, file: str) -> NewsletterError:
    name = str(path[-1] if isinstance(path[-1], str) else path[-2]).replace("_", " ")
    return NewsletterError(
        f"the text of an issue cannot say this as '{name}'.",
        file=file,
        line=next(iter(field_lines(document, path)), None),
        field=name,
        cure="Keep it on one line, without a bracket at its end or a heading's or label's name alone; "
        "or edit the text itself.",
    )
