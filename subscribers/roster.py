"""People one by one: added, found, shown, leaving, pausing, coming back, erased.

Decisions about who may be mailed again are taken here and nowhere else: staff and imports never bring
back somebody who left; only the reader does, by a button of a letter. No letter is written here.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from subscribers import attributes, choices, consent, leavers, lists, mentions, suppression
from subscribers.addresses import Address, parse_address
from subscribers.errors import NewsletterError, NotFound
from subscribers.mentions import Mentions
from subscribers.models import ChosenBy, ConsentAction, ConsentPurpose, Leaving, SubscriberStatus
from subscribers.names import clean_name
from subscribers.tables import consent as consent_table
from subscribers.tables import list_member, subscriber, topic_choice
from subscribers.zones import find_zone

# What other floors blank when a person is erased: (connection, subscriber id, address as it was).
EraseStep = Callable[[Connection, int, str], None]
# What other floors tell about a person: rows for `show`, under a name of theirs.
ShowSection = Callable[[Connection, int], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody to add by hand. `topics` None means all; `basis` says why we may write to them."""

    address: Address
    basis: str
    name: str = ""
    topics: tuple[str, ...] | None = None
    lists: tuple[str, ...] = ()
    timezone: str = ""
    track_consent: bool = False
    wording: str = ""
    attributes: Mapping[str, str] | None = None


def zone_named(text: str) -> str:
    """The IANA name of a zone, whatever its letter case. Raises NewsletterError when there is none."""
    zone = find_zone(text)
    if zone is None:
        raise NewsletterError(
            f"'{text[:60]}' is no time zone.", field="timezone", cure="For example: Europe/Paris."
        )
    return zone


def add(
    connection: Connection,
    person: NewPerson,
    *,
    suppression_key: str,
    source: str,
    now: datetime,
    chosen_by: ChosenBy = ChosenBy.STAFF,
    status: SubscriberStatus = SubscriberStatus.ACTIVE,
    agent: str | None = None,
) -> int:
    """Add one person with the proof of their consent; the subscriber id.

    Raises NewsletterError when the address is suppressed or there already.
    """
    key_hash = suppression.key_hash(person.address.key, suppression_key)
    _require_free(connection, person.address.key, key_hash)
    row: dict[str, Any] = {
        "email": person.address.email,
        "email_key": person.address.key,
        "key_hash": key_hash,
        "name": clean_name(person.name),
        "status": status,
        "all_topics": True,
        "topic_mask": 0,
        "timezone": zone_named(person.timezone) if person.timezone.strip() else None,
        "source": source,
        "attributes": {name: value for name, value in (person.attributes or {}).items() if value},
        "track_consent": person.track_consent,
        "created_at": now,
    }
    subscriber_id = connection.execute(insert(subscriber).values(row).returning(subscriber.c.id)).scalar_one()
    attributes.add(connection, [(subscriber_id, pair) for pair in row["attributes"].items()])
    choices.set_choices(connection, subscriber_id, person.topics, by=chosen_by, now=now)
    for _, (list_id, _slug) in lists.ensure_lists(connection, person.lists, now=now).items():
        lists.add_members(connection, list_id, [subscriber_id], now=now)
    purposes = [ConsentPurpose.RECEIVE] + [ConsentPurpose.TRACK] * person.track_consent
    for purpose in purposes:
        consent.record(
            connection,
            subscriber_id,
            ConsentAction.GIVEN,
            purpose,
            at=now,
            wording=person.wording,
            basis=person.basis,
            source=source,
            agent=agent,
        )
    return int(subscriber_id)


def find(connection: Connection, address: Address | str) -> Row[Any] | None:
    """The person of an address, or None; a text is parsed first (AddressRefused)."""
    key = (parse_address(address) if isinstance(address, str) else address).key
    return connection.execute(select(subscriber).where(subscriber.c.email_key == key)).one_or_none()


def find_id(connection: Connection, subscriber_id: int) -> Row[Any] | None:
    """The person of an id, or None."""
    return connection.execute(select(subscriber).where(subscriber.c.id == subscriber_id)).one_or_none()


def require(connection: Connection, address: Address | str) -> Row[Any]:
    """The person of an address. Raises NotFound."""
    row = find(connection, address)
    if row is None:
        raise NotFound("nobody has this address.", cure="Look for it with 'mailer subscribers export'.")
    return row


def show(
    connection: Connection, subscriber_id: int, sections: Mapping[str, ShowSection] | None = None
) -> dict[str, Any]:
    """All that is kept about one person, ready for JSON; `sections` adds what other floors know."""
    row = find_id(connection, subscriber_id)
    if row is None:
        raise NotFound(f"there is no subscriber {subscriber_id}.")
    stopped = suppression.find(connection, row.key_hash)
    chosen = choices.of(connection, subscriber_id)
    shown: dict[str, Any] = {
        "email": row.email,
        "name": row.name,
        "status": row.status,
        "suppressed": stopped.reason if stopped else None,
        "all_topics": row.all_topics,
        "topics": [choices.ALL_TOPICS] if chosen is None else sorted(chosen),
        "lists": lists.of_person(connection, subscriber_id),
        "track_consent": row.track_consent,
        "timezone": row.timezone,
        "language": row.language,
        "attributes": row.attributes,
        "source": row.source,
        "paused_until": _iso(row.paused_until),
        "created_at": _iso(row.created_at),
        "confirmed_at": _iso(row.confirmed_at),
        "unsubscribed_at": _iso(row.unsubscribed_at),
        "consents": [
            {
                "at": _iso(proof.at),
                "action": proof.action,
                "purpose": proof.purpose,
                "basis": proof.basis,
                "wording": proof.wording,
                "wording_version": proof.wording_version,
                "source": proof.source,
            }
            for proof in consent.of(connection, subscriber_id)
        ],
        "letters": [],
    }
    for name, section in (sections or {}).items():
        shown[name] = [dict(each) for each in section(connection, subscriber_id)]
    return shown


def unsubscribe(
    connection: Connection,
    subscriber_id: int,
    *,
    now: datetime,
    source: str,
    agent: str | None = None,
) -> bool:
    """End a subscription at the reader's word; False when it had ended before."""
    ended = connection.execute(
        update(subscriber)
        .where(subscriber.c.id == subscriber_id, subscriber.c.status != SubscriberStatus.UNSUBSCRIBED)
        .values(status=SubscriberStatus.UNSUBSCRIBED, unsubscribed_at=now, paused_until=None)
    ).rowcount
    if ended:
        leavers.note_people(connection, subscriber.c.id == subscriber_id, Leaving.LEFT, at=now)
        consent.record(
            connection,
            subscriber_id,
            ConsentAction.WITHDRAWN,
            ConsentPurpose.RECEIVE,
            at=now,
            source=source,
            agent=agent,
        )
    return bool(ended)


def resubscribe(
    connection: Connection,
    subscriber_id: int,
    *,
    now: datetime,
    source: str,
    wording: str,
    wording_version: str = "",
    agent: str | None = None,
) -> bool:
    """Bring somebody back at their own word; False when they were active.

    Topics, lists and consent to measurement are as they were. `source` is the page where they said it,
    `wording` the words they read there: both are kept as proof. Raises NewsletterError when the address
    is suppressed, a bounce or a complaint needing a person, and NotFound when nobody is there any more.
    """
    row = find_id(connection, subscriber_id)
    if row is None or is_erased(row):
        raise NotFound(f"there is no subscriber {subscriber_id}.")
    stopped = suppression.find(connection, row.key_hash)
    if stopped is not None:
        raise _suppressed(stopped.reason)
    if row.status == SubscriberStatus.ACTIVE:
        return False
    connection.execute(
        update(subscriber)
        .where(subscriber.c.id == subscriber_id)
        .values(status=SubscriberStatus.ACTIVE, confirmed_at=now, unsubscribed_at=None)
    )
    leavers.note(connection, [row.key_hash], Leaving.BACK, at=now)
    consent.record(
        connection,
        subscriber_id,
        ConsentAction.GIVEN,
        ConsentPurpose.RECEIVE,
        at=now,
        wording=wording,
        wording_version=wording_version,
        source=source,
        agent=agent,
    )
    return True


def pause(connection: Connection, subscriber_id: int, until: datetime | None) -> bool:
    """Send nothing until an instant; None ends the pause. False when nothing changed."""
    before = connection.execute(
        select(subscriber.c.paused_until).where(subscriber.c.id == subscriber_id)
    ).scalar_one_or_none()
    if before == until:
        return False
    connection.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(paused_until=until))
    return True


def erase(
    connection: Connection,
    subscriber_id: int,
    extra_steps: Iterable[EraseStep] = (),
    *,
    now: datetime,
    source: str = "erasure",
) -> Mentions | None:
    """Forget a person: suppress the address by its keyed hash, blank all that names them.

    What is kept about others named them so often; None when the person was erased before. `extra_steps`
    blank the tables of other floors. The caller empties the database's log afterwards.
    """
    # A server makes this wait for a freeze that is about to write to them: its letter is then blanked too.
    this = select(subscriber).where(subscriber.c.id == subscriber_id).with_for_update()
    row = connection.execute(this).one_or_none()
    if row is None:
        raise NotFound(f"there is no subscriber {subscriber_id}.")
    if is_erased(row):
        return None
    suppression.suppress_erased(connection, row.key_hash, source=source, now=now)
    for step in extra_steps:
        step(connection, subscriber_id, row.email)
    attributes.remove(connection, [(subscriber_id, pair) for pair in row.attributes.items()])
    for table in (topic_choice, list_member):
        connection.execute(delete(table).where(table.c.subscriber_id == subscriber_id))
    connection.execute(
        update(consent_table)
        .where(consent_table.c.subscriber_id == subscriber_id)
        # Wording and source may come from a column of an import, so they may name the person.
        .values(agent=None, source="", wording="")
    )
    _blank_bases(connection, row)
    connection.execute(
        update(subscriber).where(subscriber.c.id == subscriber_id).values(_blank(subscriber_id, row, now))
    )
    return mentions.blank(connection, row.email)


def _blank_bases(connection: Connection, row: Row[Any]) -> None:
    """A basis stays as proof unless the person is named in it."""
    named = "|".join(re.escape(word) for word in (row.email, row.email_key, row.name) if word)
    names_them = re.compile(rf"(?<!\w)(?:{named})(?!\w)", re.IGNORECASE)
    for proof in consent.of(connection, row.id):
        if names_them.search(proof.basis):
            connection.execute(update(consent_table).where(consent_table.c.id == proof.id).values(basis=""))


def is_erased(row: Row[Any]) -> bool:
    """Whether a row is the place that an erased person left."""
    return str(row.email_key).startswith("erased:")


def _blank(subscriber_id: int, row: Row[Any], now: datetime) -> dict[str, object]:
    return {
        "email": "",
        "email_key": f"erased:{subscriber_id}",
        "key_hash": f"erased:{subscriber_id}",
        "name": None,
        "status": SubscriberStatus.UNSUBSCRIBED,
        "all_topics": False,
        "topic_mask": 0,
        "chose_at": None,
        "timezone": None,
        "language": None,
        "paused_until": None,
        "source": "",
        "attributes": {},
        "track_consent": False,
        "unsubscribed_at": row.unsubscribed_at or now,
        "last_engaged_on": None,
        "last_clicked_on": None,
    }


def _require_free(connection: Connection, key: str, key_hash: str) -> None:
    stopped = suppression.find(connection, key_hash)
    if stopped is not None:
        raise _suppressed(stopped.reason)
    there = connection.execute(select(subscriber.c.status).where(subscriber.c.email_key == key)).one_or_none()
    if there is None:
        return
    if there.status == SubscriberStatus.UNSUBSCRIBED:
        raise NewsletterError(
            "this person left and is not added again.",
            cure="They can come back by themselves: 'Unsubscribe' in any letter leads to a button for it.",
        )
    raise NewsletterError(
        f"this address is here already ({there.status}).",
        cure="See it with 'mailer subscribers show', change it with an import.",
    )


def _suppressed(reason: str) -> NewsletterError:
    return NewsletterError(
        f"this address is suppressed ({reason}) and is never mailed.",
        cure="Suppression wins over everything.",
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None
