"""Single cells made into values: text, yes or no, times, topics and names of lists.

A cell that cannot be read refuses its row; it is never guessed at. An empty cell is None: it leaves
what is there.
"""

import csv
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from subscribers import choices
from subscribers.errors import NewsletterError
from subscribers.lists import slug_of
from subscribers.models import SubscriberStatus
from subscribers.nearest import nearest
from subscribers.roster import zone_named
from subscribers.transfer.guard import unguard

ATTRIBUTE_MAX_CHARACTERS = 10_000
# Every other cell but names, which are cut; a consent's wording is the longest of them.
CELL_MAX_CHARACTERS = 2_000
# Distinct values of a column that are read once; most files repeat theirs.
CACHE = 1_000
# A file with more lists than this has another column under that name.
LISTS_MAX = 1_000
# Clocks of other systems may be ahead, and a day may have begun there.
FUTURE_TOLERANCE = timedelta(days=1)

# Stand where a mask of choices stands: "all", and topics of which none is declared.
ALL_TOPICS_MASK = -1
UNDECLARED_TOPICS = -3

_YES = frozenset({"true", "yes", "y", "1", "on", "t"})
_NO = frozenset({"false", "no", "n", "0", "off", "f"})
# What databases write where there is no time.
_NO_TIME = "0000-00-00"
_TWELVE_HOURS = ("%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class RowRefused(Exception):
    """Why a row is not taken; `short` says it without the value."""

    def __init__(self, reason: str, short: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.short = short


def text(cell: str) -> str:
    """The text of a cell: trimmed, a formula guard undone, control characters gone."""
    cell = cell.strip()
    if cell.startswith("'"):
        cell = unguard(cell).strip()
    if not cell.isprintable():
        cell = _CONTROL.sub("", cell.replace("\r\n", "\n").replace("\r", "\n")).strip()
    return cell


def attribute(cell: str, column: str) -> str | None:
    """The text of an attribute; None when there is none."""
    return short_text(cell, column, ATTRIBUTE_MAX_CHARACTERS) or None


def short_text(cell: str, column: str, most: int = CELL_MAX_CHARACTERS) -> str:
    """The text of a cell, which refuses its row when it is too long."""
    found = text(cell)
    if len(found) > most:
        raise RowRefused(f"the cell '{column}' has more than {most:,} characters")
    return found


@lru_cache(maxsize=CACHE)
def zone(cell: str) -> str | None:
    word = short_text(cell, "timezone")
    try:
        return zone_named(word) if word else None
    except NewsletterError as error:
        raise RowRefused(error.message.rstrip("."), "this is no time zone") from None


@lru_cache(maxsize=CACHE)
def yes_or_no(cell: str) -> int | None:
    """1 or 0."""
    word = short_text(cell, "track_consent").casefold()
    if word in _YES:
        return 1
    if word in _NO:
        return 0
    if word:
        raise RowRefused(
            f"track_consent is {_shown(word)}: say yes or no", "track_consent is neither yes nor no"
        )
    return None


@lru_cache(maxsize=CACHE)
def status(cell: str) -> str | None:
    """ "pending" or "unsubscribed"; None of a reader."""
    word = short_text(cell, "newsletter_status").casefold()
    if word in ("", SubscriberStatus.ACTIVE):
        return None
    if word not in (SubscriberStatus.PENDING, SubscriberStatus.UNSUBSCRIBED):
        raise RowRefused(
            f"newsletter_status is {_shown(word)}: say {', '.join(SubscriberStatus)}",
            "newsletter_status is no status",
        )
    return word


def text_reader(column: str) -> Callable[[str], str | None]:
    """Reads a text that many rows have in common."""

    @lru_cache(maxsize=CACHE)
    def read(cell: str) -> str | None:
        return short_text(cell, column) or None

    return read


def time_reader(column: str, now: datetime) -> Callable[[str], str | None]:
    """Reads ISO dates and times, UTC where no zone is said: cell -> "2026-04-10 07:30:00.000000" in UTC.

    The text is what SQLite stores for an instant, so that it can be copied there as it stands;
    PostgreSQL reads it as UTC in a session of that zone.
    """
    latest = now + FUTURE_TOLERANCE

    @lru_cache(maxsize=CACHE)
    def read(cell: str) -> str | None:
        word = short_text(cell, column)
        if not word or word.startswith(_NO_TIME):
            return None
        wrong = f"{column} is no date"
        try:
            at = _instant(word)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            raise RowRefused(
                f"{column} is {_shown(word)}, which is no date: write 2026-04-10 or 2026-04-10T07:30:00Z",
                wrong,
            ) from None
        if at > latest:
            raise RowRefused(f"{column} is {_shown(word)}, which lies in the future", wrong)
        return f"{at:%Y-%m-%d %H:%M:%S.%f}"

    return read


def _instant(word: str) -> datetime:
    if word[-2:].upper() not in ("AM", "PM"):
        return datetime.fromisoformat(word)
    return datetime.strptime(word, _TWELVE_HOURS[word.count(":") == 2])  # noqa: DTZ007  (UTC: see the caller)


def topics_reader(
    topics: Mapping[str, str], bits: Mapping[str, int], *, ignore_unknown: bool
) -> Callable[[str], int | None]:
    """Reads slugs or names between `;` or `,`, `all` or `none`: cell -> mask, or what stands for one.

    None of an empty cell; UNDECLARED_TOPICS when every topic of it is ignored.
    """
    known = {name.strip().casefold(): slug for slug, name in topics.items()}
    known |= {slug.casefold(): slug for slug in topics}

    @lru_cache(maxsize=CACHE)
    def read(cell: str) -> int | None:
        words = _words(short_text(cell, "topics"))
        if not words:
            return None
        if choices.ALL_TOPICS in words:
            return ALL_TOPICS_MASK
        mask, understood = 0, False
        for word in words:
            slug = known.get(word)
            if slug is not None:
                mask |= 1 << bits[slug]
            elif word != choices.NO_TOPICS and not ignore_unknown:
                raise RowRefused(_unknown_topic(word, known), "a topic is not declared")
            understood = understood or slug is not None or word == choices.NO_TOPICS
        return mask if understood else UNDECLARED_TOPICS

    return read


def lists_reader(names: dict[str, str]) -> Callable[[str], str]:
    """Reads names between `;` or `,`, quoted or not: cell -> their numbers between commas.

    `names`, slug -> name, grows by what is new; a list's number is its position there.
    """
    numbers: dict[str, int] = {}

    @lru_cache(maxsize=CACHE)
    def read(cell: str) -> str:
        found = []
        for name in _names(short_text(cell, "lists")):
            try:
                slug = slug_of(name)
            except NewsletterError as error:
                raise RowRefused(error.message.rstrip("."), "the name of a list cannot be read") from None
            if names.setdefault(slug, name) == name and len(names) > LISTS_MAX:
                raise NewsletterError(
                    f"the file names more than {LISTS_MAX:,} lists.",
                    field="lists",
                    cure="Is another column called 'lists' or 'tags'? Rename it.",
                )
            found.append(str(numbers.setdefault(slug, len(numbers))))
        return ",".join(dict.fromkeys(found))

    return read


def _words(cell: str) -> list[str]:
    """The parts of a topics cell, in small letters; no name of a topic holds a comma or semicolon."""
    return [word for part in re.split("[;,]", cell.casefold()) if (word := part.strip())]


def _names(cell: str) -> list[str]:
    if not cell:
        return []
    if '"' in cell:
        try:
            names = next(csv.reader([cell], skipinitialspace=True, strict=True), [])
        except csv.Error:
            names = re.split("[;,]", cell.replace('"', ""))
    else:
        names = re.split("[;,]", cell)
    return [" ".join(name.split()) for name in names if name.strip()]


def _unknown_topic(word: str, known: Mapping[str, str]) -> str:
    near = nearest(word, known)
    hint = f"; did you mean '{known[near]}'?" if near else ""
    return f"the topic {_shown(word)} is not declared{hint}"


def _shown(word: str) -> str:
    return repr(word if len(word) <= 60 else word[:60] + "…")
