"""What a row of a file changes about somebody who is here already. Pure: rows in, changes out.

A choice that the reader made wins: who left stays gone, who withdrew tracking consent stays
unmeasured, who chose topics keeps them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from subscribers.models import ConsentAction, ConsentPurpose, SubscriberStatus
from subscribers.transfer.cells import ALL_TOPICS_MASK
from subscribers.transfer.options import ImportOptions
from subscribers.transfer.people import Person

IMPORT_SOURCE = "import:"  # begins the source of every consent that a file brought


class Known(NamedTuple):
    """Somebody who is here already."""

    id: int
    name: str | None
    status: str
    all_topics: bool
    topic_mask: int
    chose_at: datetime | None
    timezone: str | None
    attributes: Mapping[str, Any]
    track_consent: bool
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None


class Proof(NamedTuple):
    """A consent that is on file, or is to be."""

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
    # Number of a name -> list id, as far as lists were needed.
    list_ids: dict[int, int] = field(default_factory=dict)

    @property
    def brings_readers(self) -> bool:
        return self.options.status == "subscribed"


@dataclass(slots=True)
class Change:
    """New values of a person's row, and rows beside it."""

    id: int
    values: dict[str, Any]
    choices_added: int = 0  # masks
    choices_removed: int = 0
    lists: list[int] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)


def merge(
    person: Person, known: Known, proofs: Sequence[Proof], lists: frozenset[int], run: ImportRun
) -> Change | None:
    """What this row changes about this person; None when nothing."""
    if known.status == SubscriberStatus.UNSUBSCRIBED:
        return None
    before = known._asdict()
    after = dict(before)
    change = Change(known.id, after)
    if not run.brings_readers:
        at = instant(person.left_at) or run.now
        after |= {"status": SubscriberStatus.UNSUBSCRIBED, "unsubscribed_at": at}
        change.proofs.append(_proof(ConsentAction.WITHDRAWN, ConsentPurpose.RECEIVE, at, run, run.label))
        return change
    after["status"] = SubscriberStatus.ACTIVE
    after["name"] = person.name or known.name
    after["timezone"] = person.timezone or known.timezone
    after["confirmed_at"] = known.confirmed_at or instant(person.confirm_at)
    if person.attributes:
        after["attributes"] = {**known.attributes, **orjson.loads(person.attributes)}
    _merge_topics(person, known, change, run)
    _merge_tracking(person, known, proofs, change, run)
    change.proofs += _new_proofs(person, proofs, run)
    change.lists = [each for each in lists_of(person, run) if each not in lists]
    return change if after != before or change.lists or change.proofs else None


def lists_of(person: Person, run: ImportRun) -> list[int]:
    """The ids of the lists a row names."""
    return [run.list_ids[number] for number in list_numbers(person)]


def list_numbers(person: Person) -> list[int]:
    return list(map(int, person.lists.split(","))) if person.lists else []


def source_of(person: Person, run: ImportRun) -> str:
    """Where a consent comes from: the file, and what the file says of it."""
    return f"{run.label}: {person.consent_source}" if person.consent_source else run.label


def instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _merge_topics(person: Person, known: Known, change: Change, run: ImportRun) -> None:
    chose_in_person = known.chose_at is not None and not run.options.overwrite_choices
    if person.topics is None or chose_in_person:
        return
    wants_all, mask = known.all_topics, known.topic_mask
    if person.topics == ALL_TOPICS_MASK:
        wants_all, mask = True, 0
    elif run.options.replace_topics:
        wants_all, mask = False, person.topics
    elif not known.all_topics:
        mask |= person.topics
    change.values |= {"all_topics": wants_all, "topic_mask": mask}
    change.choices_added = mask & ~known.topic_mask
    change.choices_removed = known.topic_mask & ~mask


def _merge_tracking(
    person: Person, known: Known, proofs: Sequence[Proof], change: Change, run: ImportRun
) -> None:
    if person.track_consent is None or bool(person.track_consent) == known.track_consent:
        return
    last = next((proof for proof in reversed(proofs) if proof.purpose == ConsentPurpose.TRACK), None)
    if person.track_consent:
        if last is not None and last.action == ConsentAction.WITHDRAWN:
            return
        action, at = ConsentAction.GIVEN, instant(person.consent_at) or run.now
    else:
        if last is not None and not last.source.startswith(IMPORT_SOURCE):
            return  # the reader said yes in person; a file does not know better
        action, at = ConsentAction.WITHDRAWN, run.now
    change.values["track_consent"] = bool(person.track_consent)
    proof = _proof(action, ConsentPurpose.TRACK, at, run, source_of(person, run))
    change.proofs.append(proof._replace(wording=person.consent_wording or ""))


def _new_proofs(person: Person, proofs: Sequence[Proof], run: ImportRun) -> list[Proof]:
    """Proofs of consent to receive that are not on file: each time once, else each basis once."""
    given = [
        proof
        for proof in proofs
        if proof.purpose == ConsentPurpose.RECEIVE and proof.action == ConsentAction.GIVEN
    ]
    times = [
        (instant(person.optin_at), f"{run.label}: OPTIN_TIME"),
        (instant(person.confirm_at), f"{run.label}: CONFIRM_TIME"),
        (instant(person.consent_at), source_of(person, run)),
    ]
    told = [(at, source) for at, source in times if at is not None]
    if told:
        on_file = {proof.at for proof in given}
        new = [(at, source) for at, source in told if at not in on_file]
    else:
        known_basis = any(proof.basis == run.options.basis for proof in given)
        new = [] if known_basis else [(run.now, source_of(person, run))]
    return [
        _proof(ConsentAction.GIVEN, ConsentPurpose.RECEIVE, at, run, source)._replace(
            wording=person.consent_wording or ""
        )
        for at, source in new
    ]


def _proof(action: str, purpose: str, at: datetime, run: ImportRun, source: str) -> Proof:
    return Proof(action, purpose, at, run.options.basis, source)
