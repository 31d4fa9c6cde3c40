"""A row of cells made into a person to stage: checked, normalised, hashed."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import orjson

from subscribers import suppression
from subscribers.addresses import AddressRefused, parse_address
from subscribers.errors import NewsletterError
from subscribers.names import clean_name
from subscribers.roster import zone_named
from subscribers.transfer import cells
from subscribers.transfer.cells import RowRefused
from subscribers.transfer.columns import Columns
from subscribers.transfer.options import ImportOptions


class Person(NamedTuple):
    """One row of a file; None leaves what is there. Times are ISO texts in UTC."""

    line: int
    key_hash: str
    email: str
    email_key: str
    name: str | None
    topics: int | None  # a mask, or ALL_TOPICS_MASK
    lists: str | None  # numbers of names, between commas
    timezone: str | None
    track_consent: int | None
    consent_at: str | None
    consent_source: str | None
    consent_wording: str | None
    optin_at: str | None
    confirm_at: str | None
    left_at: str | None
    attributes: str | None  # a JSON object


def person_reader(
    columns: Columns,
    options: ImportOptions,
    bits: dict[str, int],
    list_names: dict[str, int],
    now: datetime,
) -> Callable[[int, list[str]], Person]:
    """Reads one row: (line, cells) -> Person. It raises RowRefused."""
    width, secret = columns.width, options.suppression_key
    email_at = columns.meaning["email"]
    name_of = _name_reader(columns)
    topics_of = cells.topics_reader(options.topics, bits, ignore_unknown=options.unknown_topics == "ignore")
    lists_of = _lists_reader(columns, cells.lists_reader(list_names))
    time_of = cells.time_reader(now)
    get = columns.meaning.get
    topics_at, zone_at, track_at = get("topics"), get("timezone"), get("track_consent")
    source_at, wording_at = get("consent_source"), get("consent_wording")
    times = [(get(meaning), meaning) for meaning in ("consent_at", "optin_at", "confirm_at")]
    left = [(get(meaning), meaning) for meaning in ("left_at", "cleaned_at")]
    attributes = columns.attributes

    def time_in(row: list[str], position: int | None, column: str) -> str | None:
        at = time_of(row[position], column) if position is not None else None
        return at.isoformat() if at is not None else None

    def read(line: int, row: list[str]) -> Person:
        if len(row) != width:
            row = _fitted(row, width)
        try:
            address = parse_address(cells.text(row[email_at]))
        except AddressRefused as error:
            raise RowRefused(error.message.rstrip("."), "this is no address") from None
        consent_at, optin_at, confirm_at = (time_in(row, position, column) for position, column in times)
        left_times = [time_in(row, position, column) for position, column in left if position is not None]
        track = cells.yes_or_no(row[track_at]) if track_at is not None else None
        kept = {name: value for at, name in attributes if (value := cells.short_text(row[at], name))}
        return Person(
            line,
            suppression.key_hash(address.key, secret),
            address.email,
            address.key,
            name_of(row),
            topics_of(row[topics_at]) if topics_at is not None else None,
            lists_of(row),
            _zone(row[zone_at]) if zone_at is not None else None,
            track if track is None else int(track),
            consent_at,
            cells.short_text(row[source_at], "consent_source") if source_at is not None else None,
            cells.short_text(row[wording_at], "consent_wording") if wording_at is not None else None,
            optin_at,
            confirm_at,
            next(filter(None, left_times), None),
            orjson.dumps(kept).decode() if kept else None,
        )

    return read


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
) -> Callable[[list[str]], str | None]:
    positions = [columns.meaning[key] for key in ("lists", "tags") if key in columns.meaning]

    def read(row: list[str]) -> str | None:
        numbers = dict.fromkeys(number for position in positions for number in numbers_of(row[position]))
        return ",".join(map(str, numbers)) or None

    return read if positions else lambda _: None


def _zone(cell: str) -> str | None:
    word = cells.text(cell)
    try:
        return zone_named(word) if word else None
    except NewsletterError as error:
        raise RowRefused(error.message.rstrip("."), "this is no time zone") from None
