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

NO_ATTRIBUTES = "{}"
# What a field of a number holds where the row says nothing.
UNSAID_TOPICS = -2
UNSAID_TRACK = -1


class Person(NamedTuple):
    """One row of a file; a blank field leaves what is there. Times are as `cells.time_reader` says.

    The fields are the columns of the temporary table `arrivals.arrival`, in their order: a million of
    them pass through files and statements as plain tuples (`Packed`). Blank is "" and not None, and yes
    is 1 and not True, since Python's SQLite module asks for an adapter for either: a microsecond each.
    """

    line: int
    key_hash: str
    email: str
    email_key: str
    name: str = ""
    topics: int = UNSAID_TOPICS  # a mask, ALL_TOPICS_MASK or UNDECLARED_TOPICS
    timezone: str = ""
    consent_source: str = ""
    consent_wording: str = ""
    attributes: str = NO_ATTRIBUTES  # a JSON object
    track_consent: int = UNSAID_TRACK  # 1 or 0
    consent_at: str | None = None
    optin_at: str | None = None
    confirm_at: str | None = None
    left_at: str | None = None
    chosen_at: str | None = None  # topics, in person
    withdrawn_at: str | None = None  # consent to measurement
    status: str = ""  # "pending" or "unsubscribed"; blank: a reader
    lists: str = ""  # numbers of names, between commas


Packed = tuple[Any, ...]

_TIMES = ("consent_at", "optin_at", "confirm_at", "left_at", "chosen_at", "withdrawn_at")
_ALSO_FILLED_BY = {"name": {"first_name", "last_name"}, "left_at": {"cleaned_at"}, "lists": {"tags"}}


def list_numbers(lists: str) -> list[int]:
    """The numbers in a person's `lists`."""
    return list(map(int, lists.split(","))) if lists else []


def fields_of(columns: Columns) -> tuple[str, ...]:
    """The fields that rows of such a file can fill; the others are blank in all of them."""
    filled = {"line", "key_hash", "email", "email_key", *columns.meaning}
    if columns.attributes:
        filled.add("attributes")
    for field, meanings in _ALSO_FILLED_BY.items():
        if not filled.isdisjoint(meanings):
            filled.add(field)
    return tuple(field for field in Person._fields if field in filled)


def person_reader(
    columns: Columns,
    options: ImportOptions,
    bits: dict[str, int],
    list_names: dict[str, str],
    now: datetime,
) -> Callable[[int, list[str]], Packed]:
    """Reads one row: (line, cells) -> the fields of a Person. It raises RowRefused."""
    width, secret = columns.width, options.suppression_key
    email_at, attributes = columns.meaning["email"], columns.attributes
    name_of = _name_reader(columns)
    lists_of = _lists_reader(columns, cells.lists_reader(list_names))
    present = [
        (Person._fields.index(field), at, read_cell)
        for field, at, read_cell in _cell_readers(columns, options, bits, now)
    ]
    name, kept, lists = map(Person._fields.index, ("name", "attributes", "lists"))
    blank: list[Any] = list(Person(0, "", "", ""))

    def read(line: int, row: list[str]) -> Packed:
        if len(row) != width:
            row = _fitted(row, width)
        try:
            address = parse_address(unguard(row[email_at].strip()))
        except AddressRefused as error:
            raise RowRefused(error.message.rstrip("."), "this is no address") from None
        person = blank.copy()
        person[:4] = line, suppression.key_hash(address.key, secret), address.email, address.key
        person[name] = name_of(row) or ""
        person[lists] = lists_of(row)
        for position, at, read_cell in present:
            if (found := read_cell(row[at])) is not None:
                person[position] = found
        if attributes:
            facts = {key: value for at, key in attributes if (value := cells.attribute(row[at], key))}
            if facts:
                person[kept] = orjson.dumps(facts).decode()
        return tuple(person)

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
        "status": cells.status,
        "consent_source": cells.text_reader("consent_source"),
        "consent_wording": cells.text_reader("consent_wording"),
        "cleaned_at": cells.time_reader("cleaned_at", now),
        **{name: cells.time_reader(name, now) for name in _TIMES},
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


def _lists_reader(columns: Columns, read_cell: Callable[[str], str]) -> Callable[[list[str]], str]:
    positions = [columns.meaning[key] for key in ("lists", "tags") if key in columns.meaning]
    if not positions:
        return lambda _: ""
    if len(positions) == 1:
        only = positions[0]
        return lambda row: read_cell(row[only])

    def read(row: list[str]) -> str:
        numbers = [number for at in positions for number in list_numbers(read_cell(row[at]))]
        return ",".join(map(str, dict.fromkeys(numbers)))

    return read
