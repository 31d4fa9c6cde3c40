"""Topics as the people's tables know them: the bit of each slug, readers per topic, renaming.

Topics are declared in the configuration. A slug gets its bit in `subscriber.topic_mask` the first time
it is needed and keeps it; the mask is derived from `topic_choice` and can be recomputed at any time.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import (
    BigInteger,
    Connection,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from subscribers.errors import NewsletterError
from subscribers.models import SubscriberStatus
from subscribers.suppression import is_suppressed
from subscribers.tables import subscriber, topic, topic_choice, upsert

# A mask is one signed 64-bit integer on both databases; the two upper bits stay free.
MAX_TOPICS = 62
# People moved in one transaction by a rename: well under 200 ms.
RENAME_BATCH = 2_000


class Ledger(Protocol):
    """Hands out write transactions; mailer's `Database` is one."""

    def ledger(self) -> AbstractContextManager[Connection]: ...


def bits(connection: Connection) -> dict[str, int]:
    """The bit of every slug that has one."""
    return {row[0]: row[1] for row in connection.execute(select(topic.c.slug, topic.c.bit))}


def ensure_topics(connection: Connection, slugs: Iterable[str]) -> dict[str, int]:
    """Give each new slug a bit; the bits of all. Raises NewsletterError when there are too many."""
    known = bits(connection)
    new = [slug for slug in dict.fromkeys(slugs) if slug not in known]
    free = [bit for bit in range(MAX_TOPICS) if bit not in set(known.values())]
    if len(new) > len(free):
        raise NewsletterError(
            f"there are more than {MAX_TOPICS} topics, counting those of earlier days.",
            field="topics",
            cure="Join two topics with 'mailer topics rename OLD NEW', or declare fewer.",
        )
    if new:
        rows = [{"slug": slug, "bit": bit} for slug, bit in zip(new, free, strict=False)]
        connection.execute(insert(topic), rows)
    return known | dict(zip(new, free, strict=False))


def mask_of(slugs: Iterable[str], topic_bits: Mapping[str, int]) -> int:
    """The mask of some topics."""
    mask = 0
    for slug in slugs:
        mask |= 1 << topic_bits[slug]
    return mask


def slugs_of(mask: int, topic_bits: Mapping[str, int]) -> list[str]:
    """The topics of a mask, in the order of their bits."""
    return [slug for slug, bit in sorted(topic_bits.items(), key=lambda item: item[1]) if mask >> bit & 1]


def readers_per_topic(connection: Connection, declared: Collection[str] = ()) -> dict[str, int]:
    """Readers who may be mailed and chose each topic; those of all topics count for every one.

    Has an entry for each declared topic and for each that somebody chose.
    """
    mailable = and_(subscriber.c.status == SubscriberStatus.ACTIVE, ~is_suppressed())
    everything = connection.execute(
        select(func.count()).select_from(subscriber).where(mailable, subscriber.c.all_topics)
    ).scalar_one()
    chosen = (
        select(subscriber.c.topic_mask, func.count())
        .where(mailable, ~subscriber.c.all_topics)
        .group_by(subscriber.c.topic_mask)
    )
    known = bits(connection)
    readers = dict.fromkeys(declared, 0)
    for mask, count in connection.execute(chosen):
        for slug in slugs_of(mask, known):
            readers[slug] = readers.get(slug, 0) + count
    return {slug: count + everything for slug, count in readers.items()}


def choices(connection: Connection, slugs: Collection[str]) -> dict[str, int]:
    """How many readers chose each of these topics, in their order; none of a topic that nobody chose."""
    query = (
        select(topic_choice.c.topic, func.count())
        .where(topic_choice.c.topic.in_(slugs))
        .group_by(topic_choice.c.topic)
    )
    found = {row[0]: row[1] for row in connection.execute(query)}
    return {slug: found[slug] for slug in slugs if slug in found}


def undeclared(connection: Connection, declared: Collection[str]) -> dict[str, int]:
    """Choices of topics that the configuration does not declare: slug -> how many readers."""
    query = select(topic_choice.c.topic, func.count()).group_by(topic_choice.c.topic)
    return {slug: count for slug, count in connection.execute(query) if slug not in declared}


def drift(connection: Connection) -> list[tuple[int, int, int]]:
    """Readers whose mask does not say what they chose: (subscriber id, mask, what it should be).

    Choices without a bit count as drift of nobody: `undeclared` and `ensure_topics` look after them.
    """
    derived = (
        select(
            topic_choice.c.subscriber_id.label("id"),
            cast(func.sum(cast(literal(1), BigInteger).bitwise_lshift(topic.c.bit)), BigInteger).label(
                "mask"
            ),
        )
        .join(topic, topic.c.slug == topic_choice.c.topic)
        .group_by(topic_choice.c.subscriber_id)
        .subquery()
    )
    expected = func.coalesce(derived.c.mask, 0)
    query = (
        select(subscriber.c.id, subscriber.c.topic_mask, expected)
        .outerjoin(derived, derived.c.id == subscriber.c.id)
        .where(subscriber.c.topic_mask != expected)
        .order_by(subscriber.c.id)
    )
    return [(number, mask, right) for number, mask, right in connection.execute(query)]


def mend(connection: Connection) -> int:
    """Recompute the masks that drifted; how many."""
    wrong = drift(connection)
    for number, _, right in wrong:
        connection.execute(update(subscriber).where(subscriber.c.id == number).values(topic_mask=right))
    return len(wrong)


def rename_topic(database: Ledger, old: str, new: str) -> int:
    """Move every choice of a topic to another one; who had chosen both keeps the new one. How many.

    Works in batches, each whole: a broken-off rename goes on when it is called again.
    """
    if old == new:
        return 0
    moved = 0
    with database.ledger() as connection:
        # A slug that nobody chose gets no bit on its way out.
        topic_bits = ensure_topics(connection, [*_chosen_once(connection, old), new])
    while True:
        with database.ledger() as connection:
            batch = _move(connection, old, new, topic_bits)
        moved += batch
        if batch < RENAME_BATCH:
            return moved


def _chosen_once(connection: Connection, slug: str) -> list[str]:
    """The slug itself when anybody chose it."""
    query = select(topic_choice.c.topic).where(topic_choice.c.topic == slug).limit(1)
    return list(connection.execute(query).scalars())


def _move(connection: Connection, old: str, new: str, topic_bits: Mapping[str, int]) -> int:
    people = list(
        connection.execute(
            select(topic_choice.c.subscriber_id)
            .where(topic_choice.c.topic == old)
            .order_by(topic_choice.c.subscriber_id)
            .limit(RENAME_BATCH)
        ).scalars()
    )
    if not people:
        return 0
    first, last = people[0], people[-1]
    batch = and_(topic_choice.c.topic == old, topic_choice.c.subscriber_id.between(first, last))
    columns = ["subscriber_id", "topic", "chosen_at", "chosen_by"]
    moved = select(
        topic_choice.c.subscriber_id, literal(new), topic_choice.c.chosen_at, topic_choice.c.chosen_by
    ).where(batch)
    connection.execute(
        upsert(topic_choice)
        .from_select(columns, moved)
        .on_conflict_do_nothing(index_elements=["subscriber_id", "topic"])
    )
    old_bit, new_bit = 1 << topic_bits[old], 1 << topic_bits[new]
    mask = subscriber.c.topic_mask
    without = case((mask.bitwise_and(old_bit) != 0, mask - old_bit), else_=mask)
    chose_old = exists().where(batch, topic_choice.c.subscriber_id == subscriber.c.id)
    connection.execute(
        update(subscriber)
        .where(subscriber.c.id.between(first, last), chose_old)
        .values(topic_mask=without.bitwise_or(new_bit))
    )
    connection.execute(delete(topic_choice).where(batch))
    return len(people)
