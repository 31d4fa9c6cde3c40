"""A row of cells made into a person to stage: checked, normalised, hashed."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from subscribers import suppression
from subscribers.addresses import AddressRefused, parse_address
from subscribers.names import clean_name
from subscribers.transfer import cells
from subscribers.transfer.cells import RowRefused
from subscribers.transfer.columns import Columns
from subscribers.transfer.guard import unguard
from subscribers.transfer.options import ImportOptions


class Person(NamedTuple):
    """One row of a file; None leaves what is there. Times are ISO texts in UTC."""

    line: int
    key_hash: str
    email: str
    email_key: str
    name: str | None = None
    topics: int | None = None  # a mask, or ALL_TOPICS_MASK
    timezone: str | None = None
    consent_source: str | None = None
    consent_wording: str | None = None
    attributes: str | None = None  # a JSON object
    track_consent: bool | None = None
    consent_at: str | None = None
    optin_at: str | None = None
    confirm_at: str | None = None
    left_at: str | None = None
    lists: tuple[int, ...] = ()  # numbers of names


# Which meanings of columns fill a field; the address and its hash are always there.
_FILLED_BY = {
    "name": {"name", "first_name", "last_name"},
    "left_at": {"left_at", "cleaned_at"},
    "lists": {"lists", "tags"},
}


def fields_of(columns: Columns) -> tuple[str, ...]:
    """The fields of a Person that rows of such a file can fill, without `line` and `lists`."""
    always = {"key_hash", "email", "email_key"} | ({"attributes"} if columns.attributes else set())
    return tuple(
        field
        for field in Person._fields
        if field in always or not columns.meaning.keys().isdisjoint(_FILLED_BY.get(field, {field}))
        if field not in ("line", "lists")
    )


def person_reader(
    columns: Columns,
    options: ImportOptions,
    bits: dict[str, int],
    list_names: dict[str, int],
    now: datetime,
) -> Callable[[int, list[str]], Person]:
    """Reads one row: (line, cells) -> Person. It raises RowRefused."""
    width, secret = columns.width, options.suppression_key
    email_at, attributes = columns.meaning["email"], columns.attributes
    name_of = _name_reader(columns)
    lists_of = _lists_reader(columns, cells.lists_reader(list_names))
    present = _cell_readers(columns, options, bits, now)

    def read(line: int, row: list[str]) -> Person:
        if len(row) != width:
            row = _fitted(row, width)
        try:
            address = parse_address(unguard(row[email_at].strip()))
        except AddressRefused as error:
            raise RowRefused(error.message.rstrip("."), "this is no address") from None
        found: dict[str, Any] = {field: read_cell(row[at]) for field, at, read_cell in present}
        kept = {name: value for at, name in attributes if (value := cells.attribute(row[at], name))}
        return Person(
            line,
            suppression.key_hash(address.key, secret),
            address.email,
            address.key,
            name_of(row),
            attributes=orjson.dumps(kept).decode() if kept else None,
            lists=lists_of(row),
            **found,
        )

    return read


def _cell_readers(
    columns: Columns, options: ImportOptions, bits: dict[str, int], now: datetime
) -> list[tuple[str, int, Callable[[str], object]]]:
    """(field, position, reader) of the fields that are one cell, as far as the file has them."""
    ignore_unknown = options.unknown_topics == "ignore"
    readers: dict[str, Callable[[str], object]] = {
        "topics": cells.topics_reader(options.topics, bits, ignore_unknown=ignore_unknown),
        "timezone": cells.zone,
        "track_consent": cells.yes_or_no,
        "consent_source": cells.text_reader("consent_source"),
        "consent_wording": cells.text_reader("consent_wording"),
        "cleaned_at": cells.time_reader("cleaned_at", now),
        **{
            name: cells.time_reader(name, now) for name in ("consent_at", "optin_at", "confirm_at", "left_at")
        },
    }
    return [
        ("left_at" if name == "cleaned_at" else name, columns.meaning[name], reader)
        for name, reader in readers.items()
        if name in columns.meaning
    ]


def _fitted(row: list[str], width: int) -> list[str]:
    """A short row filled up with empty cells; a longer one only when the rest is empty."""
    if len(row) > width and any(cell.strip() for cell in row[width:]):
        raise RowRefused(f"the row has {len(row)} cells, the header {width}")
    return (row + [""] * (width - len(row)))[:width]


def _name_reader(columns: Columns) -> Callable[[list[str]], str | None]:
    whole = columns.meaning.get("name")
    parts = [
        position for key in ("first_name", "last_name") if (position := columns.meaning.get(key)) is not None
    ]
    if whole is not None:
        parts = [whole]
    if not parts:
        return lambda _: None
    if len(parts) == 1:
        return lambda row: clean_name(cells.text(row[parts[0]]))
    return lambda row: clean_name(" ".join(cells.text(row[position]) for position in parts))


def _lists_reader(
    columns: Columns, numbers_of: Callable[[str], tuple[int, ...]]
) -> Callable[[list[str]], tuple[int, ...]]:
    positions = [columns.meaning[key] for key in ("lists", "tags") if key in columns.meaning]
    if len(positions) == 1:
        only = positions[0]
        return lambda row: numbers_of(row[only])
    return lambda row: tuple(
        dict.fromkeys(number for position in positions for number in numbers_of(row[position]))
    )
