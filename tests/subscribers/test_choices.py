"""Topics that readers chose, the mask derived from them, counts, renaming."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from subscribers import choices, roster, topics
from subscribers.addresses import parse_address
from subscribers.errors import NewsletterError
from subscribers.models import ChosenBy, SuppressionReason
from subscribers.suppression import key_hash, suppress
from subscribers.tables import subscriber
from tests.subscribers.people_site import BASIS, LATER, NOW, SECRET, TOPICS, PeopleSite

SLUGS = (*TOPICS, "lymphoma", "leukemia")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.none(), st.sets(st.sampled_from(SLUGS))), min_size=1, max_size=6))
def test_the_mask_always_says_what_was_chosen(site: PeopleSite, steps: list[set[str] | None]) -> None:
    with site.database.ledger() as connection:
        row = roster.find(connection, "reader@example.com")
    reader = row.id if row else site.add("reader@example.com")
    with site.database.ledger() as connection:
        for wanted in steps:
            before = choices.of(connection, reader)
            changed = choices.set_choices(connection, reader, wanted, now=NOW, by=ChosenBy.READER)
            assert choices.of(connection, reader) == (None if wanted is None else frozenset(wanted))
            assert changed == (before != choices.of(connection, reader))
            assert topics.drift(connection) == []


def test_a_topic_gets_its_bit_once(site: PeopleSite) -> None:
    with site.database.ledger() as connection:
        first = topics.ensure_topics(connection, ["car-t", "myeloma"])
        assert topics.ensure_topics(connection, ["immunology", "myeloma", "car-t"]) == first | {
            "immunology": 2
        }


def test_more_topics_than_a_mask_has_bits_are_refused(site: PeopleSite) -> None:
    with site.database.ledger() as connection:
        topics.ensure_topics(connection, [f"topic-{number}" for number in range(topics.MAX_TOPICS)])
        reader = roster.add(
            connection,
            roster.NewPerson(parse_address("r@example.com"), basis=BASIS, topics=("topic-61", "topic-0")),
            suppression_key=SECRET,
            source="test",
            now=NOW,
        )
        assert topics.drift(connection) == []
        assert choices.of(connection, reader) == frozenset({"topic-0", "topic-61"})
        with pytest.raises(NewsletterError, match="62 topics"):
            topics.ensure_topics(connection, ["one-more"])


def test_choosing_in_person_is_remembered_even_when_nothing_changed(site: PeopleSite) -> None:
    reader = site.add("r@example.com", topics=("car-t",))
    with site.database.ledger() as connection:
        assert not choices.set_choices(connection, reader, {"car-t"}, now=LATER, by=ChosenBy.READER)
        found = roster.find_id(connection, reader)
    assert found is not None
    assert found.chose_at == LATER


def test_staff_do_not_choose_in_the_name_of_a_reader(site: PeopleSite) -> None:
    reader = site.add("r@example.com", topics=("car-t",))
    with site.database.ledger() as connection:
        assert choices.set_choices(connection, reader, {"myeloma"}, now=LATER, by=ChosenBy.STAFF)
        found = roster.find_id(connection, reader)
    assert found is not None
    assert found.chose_at is None


def test_drift_is_found_and_mended(site: PeopleSite) -> None:
    reader = site.add("r@example.com", topics=("car-t", "immunology"))
    with site.database.ledger() as connection:
        right = topics.mask_of(["car-t", "immunology"], topics.bits(connection))
        connection.execute(update(subscriber).where(subscriber.c.id == reader).values(topic_mask=0))
        assert topics.drift(connection) == [(reader, 0, right)]
        assert topics.mend(connection) == 1
        assert topics.drift(connection) == []


def test_readers_of_a_topic_are_those_who_may_be_mailed(site: PeopleSite) -> None:
    site.add("one@example.com", topics=("car-t",))
    site.add("both@example.com", topics=("car-t", "myeloma"))
    site.add("all@example.com")
    gone = site.add("gone@example.com", topics=("car-t",))
    site.add("dead@example.com", topics=("myeloma",))
    with site.database.ledger() as connection:
        roster.unsubscribe(connection, gone, now=NOW, source="test")
        dead = key_hash("dead@example.com", SECRET)
        suppress(connection, key_hash=dead, reason=SuppressionReason.HARD_BOUNCE, now=NOW)
        assert topics.readers_per_topic(connection, TOPICS) == {"car-t": 3, "myeloma": 2, "immunology": 1}


def test_choices_of_undeclared_topics_are_named(site: PeopleSite) -> None:
    site.add("one@example.com", topics=("car-t", "old-topic"))
    site.add("two@example.com", topics=("old-topic",))
    with site.database.reader() as connection:
        assert topics.undeclared(connection, TOPICS) == {"old-topic": 2}


def test_a_rename_moves_choices_and_merges_where_both_were_chosen(
    site: PeopleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "RENAME_BATCH", 2)  # so that five people are three transactions
    old = [site.add(f"old{number}@example.com", topics=("myeloma",)) for number in range(4)]
    both = site.add("both@example.com", topics=("myeloma", "plasma-cell", "car-t"))
    new = site.add("new@example.com", topics=("plasma-cell",))
    everything = site.add("all@example.com")
    assert topics.rename_topic(site.database, "myeloma", "plasma-cell") == 5
    with site.database.reader() as connection:
        assert topics.drift(connection) == []
        assert all(choices.of(connection, reader) == frozenset({"plasma-cell"}) for reader in (*old, new))
        assert choices.of(connection, both) == frozenset({"plasma-cell", "car-t"})
        assert choices.of(connection, everything) is None
    assert topics.rename_topic(site.database, "myeloma", "plasma-cell") == 0
    assert topics.rename_topic(site.database, "car-t", "car-t") == 0
