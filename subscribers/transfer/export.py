"""Export: people as a CSV file that imports to the same.

Addresses that are suppressed and places of erased people are never written. Without a status only
active people are.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from subscribers import choices, lists, topics
from subscribers.errors import NewsletterError, NotFound
from subscribers.models import ConsentAction, ConsentPurpose, SubscriberStatus
from subscribers.suppression import is_suppressed
from subscribers.tables import consent, list_member, mailing_list, subscriber
from subscribers.transfer.columns import is_own_name
from subscribers.transfer.guard import guard
from subscribers.transfer.merging import IMPORT_SOURCE

COLUMNS = (
    "email",
    "name",
    "topics",
    "lists",
    "timezone",
    "track_consent",
    "consent_at",
    "consent_source",
    "consent_wording",
    "newsletter_status",
    "newsletter_left_at",
    "newsletter_topics_chosen_at",
    "newsletter_track_withdrawn_at",
)
EVERYBODY = "all"  # stands where a status stands
PAGE_ROWS = 2_000
# Readable by its owner only: it holds addresses.
FILE_MODE = 0o600


class Readers(Protocol):
    """Hands out read snapshots; mailer's `Database` is one."""

    def reader(self) -> AbstractContextManager[Connection]: ...


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Whom to write: a status or EVERYBODY (default: active), a list by slug or name, a topic by slug."""

    status: SubscriberStatus | str | None = None
    in_list: str | None = None
    topic: str | None = None


def export_csv(database: Readers, path: Path, options: ExportOptions | None = None) -> int:
    """Write people to a file; how many. Raises NewsletterError when it cannot be written.

    A file that is there stays as it is until the new one is whole.
    """
    with database.reader() as connection:
        wanted = _wanted(connection, options or ExportOptions())
        try:
            with _replacing(path) as file:
                return _write(connection, file, wanted)
        except OSError as error:
            raise NewsletterError(f"the file cannot be written: {error.strerror}.", file=str(path)) from None


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A new file that takes the place of `path` when all is written; a device or a pipe is written to."""
    target = path.resolve()
    is_file = not target.exists() or target.is_file()
    place = target.with_name(f".{target.name}.{os.getpid()}.part") if is_file else target
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
            yield file
        if is_file:
            place.replace(target)
    finally:
        if is_file:
            place.unlink(missing_ok=True)


def _write(connection: Connection, file: IO[str], wanted: Select[Any]) -> int:
    attributes = _attribute_names(connection, wanted)
    bits = topics.bits(connection)
    writer = csv.writer(file)
    writer.writerow([*COLUMNS, *map(guard, attributes)])
    count = 0
    for page in _pages(connection, wanted):
        ids = [row.id for row in page]
        on_lists, proofs = _lists_of(connection, ids), _proofs_of(connection, ids)
        withdrawn = _withdrawn_at(connection, [row.id for row in page if not row.track_consent])
        for row in page:
            own = [
                row.email,
                row.name or "",
                _topics(row, bits),
                _lists_cell(on_lists.get(row.id, ())),
                row.timezone or "",
                "yes" if row.track_consent else "no",
                *_consent(row, proofs.get(row.id, {})),
                row.status,
                _time(row.unsubscribed_at if row.status == SubscriberStatus.UNSUBSCRIBED else None),
                _time(row.chose_at),
                _time(withdrawn.get(row.id)),
            ]
            values = [row.attributes.get(name, "") for name in attributes]
            writer.writerow([guard(str(cell)) for cell in (*own, *values)])
        count += len(page)
    return count


def _wanted(connection: Connection, options: ExportOptions) -> Select[Any]:
    query = select(subscriber).where(~is_suppressed(), subscriber.c.email != "")
    if options.status != EVERYBODY:
        query = query.where(subscriber.c.status == _status(options.status or SubscriberStatus.ACTIVE))
    if options.in_list is not None:
        list_id = lists.get(connection, options.in_list).id
        members = select(list_member.c.subscriber_id).where(list_member.c.list_id == list_id)
        query = query.where(subscriber.c.id.in_(members))
    if options.topic is not None:
        bits = topics.bits(connection)
        mask = 1 << bits[options.topic] if options.topic in bits else 0
        chose = subscriber.c.topic_mask.bitwise_and(mask) != 0
        query = query.where(or_(subscriber.c.all_topics, chose))
    return query


def _status(word: str) -> SubscriberStatus:
    try:
        return SubscriberStatus(word)
    except ValueError:
        raise NotFound(
            f"there is no status '{word}'.",
            field="status",
            cure=f"There is: {', '.join(SubscriberStatus)}, {EVERYBODY}.",
        ) from None


def _pages(connection: Connection, wanted: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
    after = 0
    while page := connection.execute(
        wanted.where(subscriber.c.id > after).order_by(subscriber.c.id).limit(PAGE_ROWS)
    ).all():
        yield page
        after = page[-1].id


def _attribute_names(connection: Connection, wanted: Select[Any]) -> list[str]:
    """Every attribute that somebody has, in the order in which they are met."""
    names: dict[str, None] = {}
    for page in _pages(connection, wanted.with_only_columns(subscriber.c.id, subscriber.c.attributes)):
        for row in page:
            names.update(dict.fromkeys(row.attributes))
    # An import would read such a column as something else, so it is not one of its attributes.
    return [name for name in names if not is_own_name(name)]


def _topics(row: Row[Any], bits: dict[str, int]) -> str:
    if row.all_topics:
        return choices.ALL_TOPICS
    return ";".join(topics.slugs_of(row.topic_mask, bits)) or choices.NO_TOPICS


def _lists_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    """Names of lists, or their slugs where a name would not be read as itself (a tab, two spaces)."""
    found: dict[int, list[str]] = {}
    query = (
        select(list_member.c.subscriber_id, mailing_list.c.slug, mailing_list.c.name)
        .join(mailing_list, mailing_list.c.id == list_member.c.list_id)
        .where(list_member.c.subscriber_id.in_(ids))
        .order_by(list_member.c.subscriber_id, mailing_list.c.slug)
    )
    for number, slug, name in connection.execute(query):
        is_itself = name.isprintable() and " ".join(name.split()) == name and lists.slug_of(name) == slug
        found.setdefault(number, []).append(name if is_itself else slug)
    return found


def _lists_cell(names: Sequence[str]) -> str:
    """Names between semicolons; all of them in quotes, between commas, where one holds a mark of either."""
    if not any(set(name) & set(";,\"'") for name in names):
        return ";".join(names)
    return ",".join('"' + name.replace('"', '""') + '"' for name in names)


def _proofs_of(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, Row[Any]]]:
    """The last consent each person gave, by purpose."""
    newest = (
        select(func.max(consent.c.id))
        .where(and_(consent.c.subscriber_id.in_(ids), consent.c.action == ConsentAction.GIVEN))
        .group_by(consent.c.subscriber_id, consent.c.purpose)
    )
    found: dict[int, dict[str, Row[Any]]] = {}
    for row in connection.execute(select(consent).where(consent.c.id.in_(newest))):
        found.setdefault(row.subscriber_id, {})[row.purpose] = row
    return found


def _withdrawn_at(connection: Connection, ids: Sequence[int]) -> dict[int, datetime]:
    """When each of these people took back their consent to measurement, by their last word on it."""
    newest = (
        select(func.max(consent.c.id))
        .where(and_(consent.c.subscriber_id.in_(ids), consent.c.purpose == ConsentPurpose.TRACK))
        .group_by(consent.c.subscriber_id)
    )
    query = select(consent.c.subscriber_id, consent.c.at).where(
        consent.c.id.in_(newest), consent.c.action == ConsentAction.WITHDRAWN
    )
    return {row.subscriber_id: row.at for row in connection.execute(query)}


def _consent(row: Row[Any], proofs: dict[str, Row[Any]]) -> tuple[str, str, str]:
    """Time, source and wording: of the consent to measurement where there is one, else to receive."""
    proof = proofs.get(ConsentPurpose.TRACK) if row.track_consent else None
    proof = proof or proofs.get(ConsentPurpose.RECEIVE)
    if proof is None:
        return "", "", ""
    return _time(proof.at), _first_source(proof.source), proof.wording


def _time(at: datetime | None) -> str:
    return at.isoformat().replace("+00:00", "Z") if at else ""


def _first_source(source: str) -> str:
    """What the file that brought a consent said of its source, else that file."""
    said = source.partition(": ")[2] if source.startswith(IMPORT_SOURCE) else ""
    return said or source
