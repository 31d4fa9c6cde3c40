"""What a row of a file changes about somebody who is here already. Pure: rows in, changes out.

A choice that the reader made wins: who left stays gone, who withdrew tracking consent stays
unmeasured, who chose topics keeps them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from subscribers.attributes import Pair
from subscribers.models import ConsentAction, ConsentPurpose, SubscriberStatus
from subscribers.transfer.cells import ALL_TOPICS_MASK, UNDECLARED_TOPICS
from subscribers.transfer.options import ImportOptions
from subscribers.transfer.people import NO_ATTRIBUTES, UNSAID_TOPICS, UNSAID_TRACK, Person

IMPORT_SOURCE = "import:"  # begins the source of every consent that a file brought


class Known(NamedTuple):
    """Somebody who is here already, and which proofs of theirs are on file."""

    id: int
    name: str | None
    status: str
    all_topics: bool
    topic_mask: int
    chose_at: datetime | None
    timezone: str | None
    attributes: Any  # JSON text, or a mapping where the driver reads it
    track_consent: bool
    confirmed_at: datetime | None
    has_basis: bool  # agreed to receive, on the basis of this import
    has_consent_at: bool  # agreed to receive, at the times of this row
    has_optin_at: bool
    has_confirm_at: bool
    track_action: str | None  # the last word on measurement, and where it came from
    track_source: str | None


class Proof(NamedTuple):
    """A row of consent to write."""

    action: str
    purpose: str
    at: datetime
    basis: str
    source: str
    wording: str = ""


@dataclass(frozen=True, slots=True)
class ImportRun:
    """What holds for every row of one import."""

    options: ImportOptions
    label: str  # "import:people.csv"
    now: datetime
    list_names: tuple[str, ...]
    fields: tuple[str, ...]  # of Person, that the file can fill
    # Number of a name -> list id, as far as lists were needed.
    list_ids: dict[int, int] = field(default_factory=dict)

    @property
    def brings_readers(self) -> bool:
        return self.options.status == "subscribed"


@dataclass(slots=True)
class Change:
    """New values of a person's row, and rows beside it."""

    id: int
    values: dict[str, Any] = field(default_factory=dict)
    choices_added: int = 0  # masks
    choices_removed: int = 0
    attributes_added: Collection[Pair] = ()
    attributes_removed: Collection[Pair] = ()
    lists: Sequence[int] = ()
    proofs: list[Proof] = field(default_factory=list)


def merge(person: Person, known: Known, new_lists: Sequence[int], run: ImportRun) -> Change | None:
    """What this row changes about this person; None when nothing. `new_lists`: ids they are not on."""
    if known.status == SubscriberStatus.UNSUBSCRIBED:
        return None
    change = Change(known.id)
    if not run.brings_readers or person.status == SubscriberStatus.UNSUBSCRIBED:
        if _came_back(person, known):
            return None
        at = instant(person.left_at) or run.now
        change.values = {"status": SubscriberStatus.UNSUBSCRIBED, "unsubscribed_at": at}
        change.proofs = [_proof(ConsentAction.WITHDRAWN, ConsentPurpose.RECEIVE, at, run, run.label)]
        return change
    _merge_facts(person, known, change)
    _merge_topics(person, known, change, run)
    _merge_tracking(person, known, change, run)
    change.proofs += _new_proofs(person, known, run)
    change.lists = new_lists
    return change if change.values or change.lists or change.proofs else None


def _came_back(person: Person, known: Known) -> bool:
    """Whether they confirmed after the day on which the file has them leave."""
    left_at = instant(person.left_at)
    return left_at is not None and known.confirmed_at is not None and left_at <= known.confirmed_at


def source_of(person: Person, run: ImportRun) -> str:
    """Where a consent comes from: the file, and what the file says of it."""
    return f"{run.label}: {person.consent_source}" if person.consent_source else run.label


def instant(text: str | None) -> datetime | None:
    """The instant of a person's time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def _merge_facts(person: Person, known: Known, change: Change) -> None:
    if known.status != SubscriberStatus.ACTIVE and person.status != SubscriberStatus.PENDING:
        change.values["status"] = SubscriberStatus.ACTIVE
    if person.name and person.name != known.name:
        change.values["name"] = person.name
    if person.timezone and person.timezone != known.timezone:
        change.values["timezone"] = person.timezone
    if person.confirm_at and known.confirmed_at is None:
        change.values["confirmed_at"] = instant(person.confirm_at)
    if person.attributes not in (NO_ATTRIBUTES, known.attributes):
        before = orjson.loads(known.attributes) if isinstance(known.attributes, str) else known.attributes
        after = {**before, **orjson.loads(person.attributes)}
        if after != before:
            change.values["attributes"] = after
            change.attributes_added = after.items() - before.items()
            change.attributes_removed = before.items() - after.items()


def _merge_topics(person: Person, known: Known, change: Change, run: ImportRun) -> None:
    if person.topics in (UNSAID_TOPICS, UNDECLARED_TOPICS):
        return
    if known.chose_at is not None and not run.options.overwrite_choices:
        return
    # Chosen in person elsewhere: the reader's own word, where they have not said another one here.
    chosen_at = instant(person.chosen_at) if known.chose_at is None else None
    wants_all, mask = known.all_topics, known.topic_mask
    if person.topics == ALL_TOPICS_MASK:
        wants_all, mask = True, 0
    elif run.options.replace_topics or chosen_at is not None:
        wants_all, mask = False, person.topics
    elif not known.all_topics:
        mask |= person.topics
    if (wants_all, mask) != (known.all_topics, known.topic_mask):
        change.values |= {"all_topics": wants_all, "topic_mask": mask}
    if chosen_at is not None:
        change.values["chose_at"] = chosen_at
    change.choices_added = mask & ~known.topic_mask
    change.choices_removed = known.topic_mask & ~mask


def _merge_tracking(person: Person, known: Known, change: Change, run: ImportRun) -> None:
    withdrawn_at = instant(person.withdrawn_at)
    if withdrawn_at is not None and known.track_action is None and person.track_consent != 1:
        withdrawn, track = ConsentAction.WITHDRAWN, ConsentPurpose.TRACK
        change.proofs.append(_proof(withdrawn, track, withdrawn_at, run, run.label))
        return
    if person.track_consent in (UNSAID_TRACK, known.track_consent):
        return
    if person.track_consent:
        if known.track_action == ConsentAction.WITHDRAWN:
            return
        action, at = ConsentAction.GIVEN, instant(person.consent_at) or run.now
    else:
        if known.track_source is not None and not known.track_source.startswith(IMPORT_SOURCE):
            return  # they said yes in person; a file does not know better
        action, at = ConsentAction.WITHDRAWN, withdrawn_at or run.now
    change.values["track_consent"] = bool(person.track_consent)
    change.proofs.append(
        _proof(action, ConsentPurpose.TRACK, at, run, source_of(person, run), person.consent_wording)
    )


def _new_proofs(person: Person, known: Known, run: ImportRun) -> list[Proof]:
    """Proofs of consent to receive that are not on file: each time once, else each basis once."""
    times = (
        (person.optin_at, known.has_optin_at, f"{run.label}: OPTIN_TIME"),
        (person.confirm_at, known.has_confirm_at, f"{run.label}: CONFIRM_TIME"),
        (person.consent_at, known.has_consent_at, ""),
    )
    given, receive = ConsentAction.GIVEN, ConsentPurpose.RECEIVE
    wording, own_source = person.consent_wording, source_of(person, run)
    if any(text for text, _, _ in times):
        return [
            _proof(given, receive, at, run, source or own_source, wording)
            for text, is_on_file, source in times
            if not is_on_file and (at := instant(text))
        ]
    return [] if known.has_basis else [_proof(given, receive, run.now, run, own_source, wording)]


def _proof(
    action: str, purpose: str, at: datetime, run: ImportRun, source: str, wording: str | None = None
) -> Proof:
    return Proof(action, purpose, at, run.options.basis, source, wording or "")
