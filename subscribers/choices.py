"""What a reader wants: topics ticked in person, by staff or by an import.

Choices and the derived mask are written together, here and in `transfer`. A reader of all topics has
no choices. When readers choose in person, `chose_at` is set, and imports leave their topics alone.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from subscribers.models import ChosenBy
from subscribers.tables import subscriber, topic_choice
from subscribers.topics import ensure_topics, mask_of

# What `topics` columns and options say instead of slugs.
ALL_TOPICS = "all"
NO_TOPICS = "none"


def of(connection: Connection, subscriber_id: int) -> frozenset[str] | None:
    """The topics a reader chose; None when they want all."""
    wants_all = connection.execute(
        select(subscriber.c.all_topics).where(subscriber.c.id == subscriber_id)
    ).scalar_one()
    if wants_all:
        return None
    query = select(topic_choice.c.topic).where(topic_choice.c.subscriber_id == subscriber_id)
    return frozenset(connection.execute(query).scalars())


def set_choices(
    connection: Connection,
    subscriber_id: int,
    topics: Iterable[str] | None,
    *,
    by: ChosenBy,
    now: datetime,
) -> bool:
    """Give a reader exactly these topics, None for all; False when nothing changed.

    A topic kept keeps its date and who chose it. Chosen by the reader, it is their word from now on,
    even when nothing changed.
    """
    before = of(connection, subscriber_id)
    after = None if topics is None else frozenset(topics)
    values: dict[str, object] = {}
    if by == ChosenBy.READER:
        values["chose_at"] = now
    if before != after:
        _write_choices(connection, subscriber_id, before or frozenset(), after or frozenset(), by, now)
        topic_bits = ensure_topics(connection, sorted(after or ()))
        values |= {"all_topics": after is None, "topic_mask": mask_of(after or (), topic_bits)}
    if values:
        connection.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(values))
    return before != after


def _write_choices(
    connection: Connection,
    subscriber_id: int,
    before: frozenset[str],
    after: frozenset[str],
    by: ChosenBy,
    now: datetime,
) -> None:
    gone, new = before - after, sorted(after - before)
    if gone:
        connection.execute(
            delete(topic_choice).where(
                topic_choice.c.subscriber_id == subscriber_id, topic_choice.c.topic.in_(gone)
            )
        )
    if new:
        rows = [
            {"subscriber_id": subscriber_id, "topic": slug, "chosen_at": now, "chosen_by": by} for slug in new
        ]
        connection.execute(insert(topic_choice), rows)
