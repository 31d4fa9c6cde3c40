"""Staged people written to the database, a chunk in one transaction, set by set.

Who is new is inserted from the temporary table by a few statements, who is here already is merged row
by row. Broken off between two chunks, an import goes on when the same file is imported again.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    type_coerce,
    update,
)

from subscribers import attributes, leavers, suppression
from subscribers.lists import ensure_lists
from subscribers.models import (
    ChosenBy,
    ConsentAction,
    ConsentPurpose,
    Leaving,
    SubscriberStatus,
    SuppressionReason,
    UTCTime,
)
from subscribers.tables import (
    attribute_holder,
    consent,
    list_member,
    subscriber,
    topic,
    topic_choice,
    upsert,
)
from subscribers.tables import suppression as suppressed
from subscribers.topics import slugs_of
from subscribers.transfer import arrivals
from subscribers.transfer.arrivals import JsonText, arrival, arrival_attribute, arrival_list
from subscribers.transfer.cells import ALL_TOPICS_MASK, UNDECLARED_TOPICS
from subscribers.transfer.merging import Change, ImportRun, Known, merge
from subscribers.transfer.people import NO_ATTRIBUTES, UNSAID_TOPICS, Packed, Person, list_numbers
from subscribers.transfer.report import ImportReport

# Less than 200 ms of one core: nobody else waits longer than that for the write lock. Larger chunks are
# faster, since an index page that several people share is written once.
CHUNK_ROWS = 8_000
CHUNK_CHARACTERS = 4_000_000
# The same of people who are here already and change: they are merged one by one.
CHANGED_ROWS = 3_000

_LINE, _KEY_HASH, _ATTRIBUTES, _LISTS = map(Person._fields.index, ("line", "key_hash", "attributes", "lists"))


def apply_chunk(
    connection: Connection,
    people: Sequence[Packed],
    run: ImportRun,
    bits: dict[str, int],
    report: ImportReport,
) -> None:
    """Write one chunk and count what became of it."""
    if run.options.status == "cleaned":
        _suppress(connection, people, run)
        report.suppressed += len(people)
        return
    _make_lists(connection, people, run)
    arrivals.fill(connection, people, run)
    report.suppressed += connection.execute(
        delete(arrival).where(arrival.c.key_hash.in_(select(suppressed.c.key_hash)))
    ).rowcount
    _find_known(connection)
    known = _known(connection, run)
    if known:
        changes = _changes(connection, people, known, run)
        _write(connection, changes, run, bits)
        report.updated += len(changes)
        report.unchanged += len(known) - len(changes)
        connection.execute(delete(arrival).where(arrival.c.subscriber_id.is_not(null())))
    if run.brings_readers:
        _refuse_undeclared(connection, report)
    report.added += _insert_new(connection, people, run)
    arrivals.empty(connection)


def _suppress(connection: Connection, people: Sequence[Packed], run: ImportRun) -> None:
    suppression.suppress_all(
        connection,
        [person[_KEY_HASH] for person in people],
        reason=SuppressionReason.HARD_BOUNCE,
        detail="cleaned in the imported file",
        source=run.label,
        now=run.now,
    )


def _make_lists(connection: Connection, people: Sequence[Packed], run: ImportRun) -> None:
    """Make the lists that this chunk names for the first time."""
    named = {number for person in people if person[_LISTS] for number in list_numbers(person[_LISTS])}
    missing = {run.list_names[number]: number for number in sorted(named - run.list_ids.keys())}
    for name, (list_id, _slug) in ensure_lists(connection, missing, now=run.now).items():
        run.list_ids[missing[name]] = list_id


# -- who is here already ------------------------------------------------------------------------


def _find_known(connection: Connection) -> None:
    same = subscriber.c.email_key == arrival.c.email_key
    connection.execute(update(arrival).values(subscriber_id=subscriber.c.id).where(same))


def _known(connection: Connection, run: ImportRun) -> dict[int, Known]:
    """Those of the chunk who are here already, by line."""
    last_word = (
        select(consent.c.id)
        .where(consent.c.subscriber_id == arrival.c.subscriber_id, consent.c.purpose == ConsentPurpose.TRACK)
        .order_by(consent.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    last = consent.alias("last")
    has_last = last.c.id == last_word
    query = (
        select(
            arrival.c.line,
            subscriber.c.id,
            subscriber.c.name,
            subscriber.c.status,
            subscriber.c.all_topics,
            subscriber.c.topic_mask,
            subscriber.c.chose_at,
            subscriber.c.timezone,
            type_coerce(subscriber.c.attributes, JsonText()),
            subscriber.c.track_consent,
            subscriber.c.confirmed_at,
            _on_file(consent.c.basis == run.options.basis),
            *(_on_file(consent.c.at == arrival.c[name]) for name in ("consent_at", "optin_at", "confirm_at")),
            last.c.action,
            last.c.source,
        )
        .join(arrival, arrival.c.subscriber_id == subscriber.c.id)
        .outerjoin(last, has_last)
    )
    return {row[0]: Known(*row[1:]) for row in connection.execute(query)}


def _on_file(said: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether this person agreed to receive mail, as `said`."""
    return exists().where(
        consent.c.subscriber_id == arrival.c.subscriber_id,
        consent.c.purpose == ConsentPurpose.RECEIVE,
        consent.c.action == ConsentAction.GIVEN,
        said,
    )


def _changes(
    connection: Connection, people: Sequence[Packed], known: dict[int, Known], run: ImportRun
) -> list[Change]:
    new_lists: dict[int, list[int]] = defaultdict(list)
    for line, list_id in connection.execute(_new_memberships()) if run.list_ids else ():
        new_lists[line].append(list_id)
    merged = (
        merge(Person._make(person), known[person[_LINE]], new_lists.get(person[_LINE], ()), run)
        for person in people
        if person[_LINE] in known
    )
    return [change for change in merged if change is not None]


def _new_memberships() -> Select[Any]:
    member = exists().where(
        list_member.c.list_id == arrival_list.c.list_id,
        list_member.c.subscriber_id == arrival.c.subscriber_id,
    )
    return (
        select(arrival.c.line, arrival_list.c.list_id)
        .join(arrival, arrival.c.line == arrival_list.c.line)
        .where(arrival.c.subscriber_id.is_not(None), ~member)
    )


def _write(connection: Connection, changes: Sequence[Change], run: ImportRun, bits: dict[str, int]) -> None:
    for names in {tuple(change.values) for change in changes if change.values}:
        this_person = update(subscriber).where(subscriber.c.id == bindparam("this"))
        connection.execute(
            this_person.values({name: bindparam(name) for name in names}),
            [{"this": change.id, **change.values} for change in changes if tuple(change.values) == names],
        )
    left = [change.id for change in changes if change.values.get("status") == SubscriberStatus.UNSUBSCRIBED]
    leavers.note_ids(connection, left, Leaving.LEFT, at=run.now)
    gone = [
        {"this": change.id, "slug": slug}
        for change in changes
        for slug in slugs_of(change.choices_removed, bits)
    ]
    if gone:
        this_choice = and_(
            topic_choice.c.subscriber_id == bindparam("this"), topic_choice.c.topic == bindparam("slug")
        )
        connection.execute(delete(topic_choice).where(this_choice), gone)
    chosen = [
        {"subscriber_id": change.id, "topic": slug, "chosen_at": run.now, "chosen_by": ChosenBy.IMPORT}
        for change in changes
        for slug in slugs_of(change.choices_added, bits)
    ]
    if chosen:
        connection.execute(upsert(topic_choice).on_conflict_do_nothing(), chosen)
    members = [
        {"subscriber_id": change.id, "list_id": list_id, "added_at": run.now}
        for change in changes
        for list_id in change.lists
    ]
    if members:
        connection.execute(insert(list_member), members)
    attributes.remove(connection, [(each.id, pair) for each in changes for pair in each.attributes_removed])
    attributes.add(connection, [(each.id, pair) for each in changes for pair in each.attributes_added])
    proofs = [
        {"subscriber_id": change.id, "wording_version": "", **proof._asdict()}
        for change in changes
        for proof in change.proofs
    ]
    if proofs:
        connection.execute(insert(consent), proofs)


# -- who is new ---------------------------------------------------------------------------------


def _refuse_undeclared(connection: Connection, report: ImportReport) -> None:
    """Take out new readers of undeclared topics only: they would get every topic, which nobody asked for."""
    undeclared = arrival.c.topics == UNDECLARED_TOPICS
    lines = select(arrival.c.line).where(undeclared).order_by(arrival.c.line)
    for line in connection.execute(lines).scalars():
        report.refused.refuse(line, "none of its topics is declared")
    connection.execute(delete(arrival).where(undeclared))


def _insert_new(connection: Connection, people: Sequence[Packed], run: ImportRun) -> int:
    """Insert everybody who is left in the temporary table; how many."""
    now = literal(run.now, UTCTime())
    reads = run.brings_readers
    active, gone = literal(SubscriberStatus.ACTIVE), literal(SubscriberStatus.UNSUBSCRIBED)
    left_at = func.coalesce(arrival.c.left_at, now)
    values: dict[str, ColumnElement[Any]] = {
        "email": arrival.c.email,
        "email_key": arrival.c.email_key,
        "key_hash": arrival.c.key_hash,
        "name": func.nullif(arrival.c.name, ""),
        "status": func.coalesce(func.nullif(arrival.c.status, ""), active) if reads else gone,
        "all_topics": arrival.c.topics.in_((UNSAID_TOPICS, ALL_TOPICS_MASK)),
        "topic_mask": case((arrival.c.topics > 0, arrival.c.topics), else_=0),
        "chose_at": arrival.c.chosen_at,
        "timezone": func.nullif(arrival.c.timezone, ""),
        "source": literal(run.label),
        "attributes": arrival.c.attributes,
        "track_consent": (arrival.c.track_consent == 1) if reads else literal(False),
        "created_at": now,
        "confirmed_at": arrival.c.confirm_at,
        "unsubscribed_at": case((arrival.c.status == gone, left_at)) if reads else left_at,
    }
    added = connection.execute(
        insert(subscriber).from_select(list(values), select(*values.values()).order_by(arrival.c.line))
    ).rowcount
    if not added:
        return 0
    # By the hash, not the address: the chunk is a range of hashes, so these are neighbours.
    inserted = subscriber.c.key_hash == arrival.c.key_hash
    connection.execute(update(arrival).values(subscriber_id=subscriber.c.id).where(inserted))
    have_left = arrival.c.status == gone if reads else true()
    leavers.note_people(connection, select(arrival.c.key_hash).where(have_left), Leaving.LEFT, at=run.now)
    _insert_proofs(connection, run)
    _insert_choices(connection, now)
    if "attributes" in run.fields:
        _insert_attributes(connection, people)
    if run.list_ids:
        members = select(arrival_list.c.list_id, arrival.c.subscriber_id, now).join(
            arrival, arrival.c.line == arrival_list.c.line
        )
        connection.execute(insert(list_member).from_select(["list_id", "subscriber_id", "added_at"], members))
    return added


def _insert_choices(connection: Connection, now: ColumnElement[Any]) -> None:
    by_import, by_reader = literal(ChosenBy.IMPORT), literal(ChosenBy.READER)
    chosen_by = case((arrival.c.chosen_at.is_(None), by_import), else_=by_reader)
    chosen = (
        select(arrival.c.subscriber_id, topic.c.slug, func.coalesce(arrival.c.chosen_at, now), chosen_by)
        .join(topic, true())
        .where(arrival.c.topics > 0, arrival.c.topics.bitwise_rshift(topic.c.bit).bitwise_and(1) == 1)
        .order_by(arrival.c.line)
    )
    columns = ["subscriber_id", "topic", "chosen_at", "chosen_by"]
    connection.execute(insert(topic_choice).from_select(columns, chosen))


def _insert_attributes(connection: Connection, people: Sequence[Packed]) -> None:
    new = set(connection.execute(select(arrival.c.line)).scalars())
    held = [
        (person[_LINE], pair)
        for person in people
        if person[_LINE] in new and person[_ATTRIBUTES] != NO_ATTRIBUTES
        for pair in orjson.loads(person[_ATTRIBUTES]).items()
    ]
    attributes.ensure(connection, {pair for _, pair in held})
    arrivals.fill_attributes(connection, [(line, attributes.id_of(*pair)) for line, pair in held])
    holders = (
        select(arrival_attribute.c.attribute_id, arrival.c.subscriber_id)
        .join(arrival, arrival.c.line == arrival_attribute.c.line)
        .order_by(arrival_attribute.c.attribute_id, arrival.c.subscriber_id)
    )
    connection.execute(insert(attribute_holder).from_select(["attribute_id", "subscriber_id"], holders))


def _insert_proofs(connection: Connection, run: ImportRun) -> None:
    now = literal(run.now, UTCTime())
    told = arrival.c.consent_at
    receive, given = ConsentPurpose.RECEIVE, ConsentAction.GIVEN
    for column, name in ((arrival.c.optin_at, "OPTIN_TIME"), (arrival.c.confirm_at, "CONFIRM_TIME")):
        said = literal(f"{run.label}: {name}")
        _insert_proof(connection, run, given, receive, column, said, column.is_not(None))
    source = case(
        (arrival.c.consent_source == "", literal(run.label)),
        else_=literal(f"{run.label}: ") + arrival.c.consent_source,
    )
    untold = and_(arrival.c.optin_at.is_(None), arrival.c.confirm_at.is_(None))
    if run.brings_readers:
        at = func.coalesce(told, now)
        agrees_now = and_(untold, arrival.c.status == "")
        _insert_proof(connection, run, given, receive, at, source, or_(told.is_not(None), agrees_now))
        _insert_proof(connection, run, given, ConsentPurpose.TRACK, at, source, arrival.c.track_consent == 1)
        _insert_withdrawals(connection, run, now)
    else:
        _insert_proof(connection, run, given, receive, told, source, told.is_not(None))
        at = func.coalesce(arrival.c.left_at, now)
        _insert_proof(connection, run, ConsentAction.WITHDRAWN, receive, at, literal(run.label), true())


def _insert_withdrawals(connection: Connection, run: ImportRun, now: ColumnElement[Any]) -> None:
    """What people took back one by one, in a file that says it of each."""
    withdrawn, label = ConsentAction.WITHDRAWN, literal(run.label)
    if "status" in run.fields:
        has_left = arrival.c.status == SubscriberStatus.UNSUBSCRIBED
        left_at = func.coalesce(arrival.c.left_at, now)
        _insert_proof(connection, run, withdrawn, ConsentPurpose.RECEIVE, left_at, label, has_left)
    if "withdrawn_at" in run.fields:
        at = arrival.c.withdrawn_at
        says_no = and_(at.is_not(None), arrival.c.track_consent != 1)
        _insert_proof(connection, run, withdrawn, ConsentPurpose.TRACK, at, label, says_no)


def _insert_proof(
    connection: Connection,
    run: ImportRun,
    action: ConsentAction,
    purpose: ConsentPurpose,
    at: ColumnElement[Any],
    source: ColumnElement[Any],
    where: ColumnElement[bool],
) -> None:
    values: dict[str, ColumnElement[Any]] = {
        "subscriber_id": arrival.c.subscriber_id,
        "action": literal(action),
        "purpose": literal(purpose),
        "wording": arrival.c.consent_wording,
        "wording_version": literal(""),
        "basis": literal(run.options.basis),
        "at": at,
        "source": source,
    }
    proofs = select(*values.values()).where(where).order_by(arrival.c.line)
    connection.execute(insert(consent).from_select(list(values), proofs))
