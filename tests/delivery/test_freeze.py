"""Who gets what, decided at one moment: editions, chunks, letters, and reasons for everybody else."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from mailer.delivery import campaigns, freeze
from mailer.delivery import plan as planning
from mailer.delivery.audience import Audience, is_allowed
from mailer.links import Slot, Slots
from mailer.tables import (
    chunks,
    deliveries,
    editions,
    links,
    list_members,
    skips,
    subscribers,
)
from subscribers import choices, lists, segments, suppression
from subscribers.errors import NewsletterError, NotFound
from subscribers.models import ChosenBy, SuppressionReason
from tests.delivery.conftest import Site


def changed(site: Site, table: str, **values: Any) -> None:
    """Give the site other settings in one table."""
    part = getattr(site.settings, table).model_copy(update=values)
    site.settings = site.settings.model_copy(update={table: part})


def rows(site: Site, query: Any) -> list[tuple[Any, ...]]:
    with site.database.reader() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_every_person_of_the_audience_has_a_letter_or_a_reason(site: Site) -> None:
    wanted = site.add(("car-t",))
    site.add(None)
    unsubscribed = site.add(None, status="unsubscribed")
    pending = site.add(None, status="pending")
    paused = site.add(None, paused_until=site.clock.now + timedelta(days=1))
    back = site.add(None, paused_until=site.clock.now - timedelta(days=1))
    nothing = site.add(())
    suppressed = site.add(None, email="gone@example.org", status="unsubscribed")
    site.add(None, email="", email_key="erased:1")
    with site.database.ledger() as connection:
        suppression.suppress(
            connection,
            key_hash=suppression.key_hash("gone@example.org", site.suppression_key),
            reason=SuppressionReason.HARD_BOUNCE,
            now=site.clock.now,
        )
    campaign_id = site.freeze()
    found = dict(rows(site, select(skips.c.subscriber_id, skips.c.reason)))
    assert found == {
        unsubscribed: "unsubscribed",
        pending: "pending",
        paused: "paused",
        nothing: "no_stories",
        suppressed: "suppressed",
    }
    letters = {row[0] for row in rows(site, select(deliveries.c.subscriber_id))}
    assert {wanted, back} <= letters
    assert len(letters) == 3
    state = site.status(campaign_id)
    assert (state.status, state.frozen, state.waiting) == ("sending", 3, 3)


def test_the_plan_says_what_the_freeze_then_does(site: Site) -> None:
    for topics in ((), ("car-t",), ("car-t",), ("car-t", "myeloma"), ("myeloma",), None):
        site.add(topics)
    site.add(None, status="pending")
    with site.database.reader() as connection:
        plan = planning.make(
            connection,
            site.issue,
            Audience(),
            settings=site.settings,
            leaves=site.leaves(connection),
            now=site.clock.now,
        )
    campaign_id = site.freeze()
    assert [(edition.selection.key, edition.audience) for edition in plan.editions] == rows(
        site, select(editions.c.key, editions.c.audience).order_by(editions.c.id)
    )
    assert dict(plan.skipped) == site.status(campaign_id).skipped
    assert plan.readers == site.status(campaign_id).frozen == 5
    assert plan.editions[0].selection.is_full


def test_readers_whose_choices_pick_the_same_stories_share_an_edition(site: Site) -> None:
    site.add(("car-t", "myeloma", "immunology"))
    site.add(None)
    site.freeze()
    assert rows(site, select(editions.c.key, editions.c.audience)) == [("full", 2)]


def test_chunks_hold_one_edition_each_and_no_more_than_their_size(site: Site) -> None:
    changed(site, "sending", chunk_size=3)
    for number in range(10):
        site.add(("car-t",) if number % 3 else None)
    site.freeze()
    counted = rows(
        site,
        select(chunks.c.id, chunks.c.recipients, func.count(), func.count(deliveries.c.edition_id.distinct()))
        .join(deliveries, deliveries.c.chunk_id == chunks.c.id)
        .group_by(chunks.c.id, chunks.c.recipients),
    )
    assert sorted(size for _, size, _, _ in counted) == [1, 3, 3, 3]
    assert all(size == letters and several == 1 for _, size, letters, several in counted)


def test_letters_carry_slot_keys_and_links_of_their_campaign(site: Site) -> None:
    site.add(None)
    campaign_id = site.freeze()
    [(markup, text, nonce)] = rows(site, select(editions.c.html, editions.c.text, editions.c.slot_nonce))
    slots = Slots(nonce)
    for part in (markup, text):
        assert part.count(nonce) == sum(part.count(slots.key(slot)) for slot in Slot)
    ids = rows(site, select(links.c.id, links.c.url).where(links.c.campaign_id == campaign_id))
    assert ids
    for number, url in ids:
        assert f"/c/{slots.key(Slot.TRACK)}/{number}" in markup + text
        assert url not in markup


def test_nobody_gets_an_issue_twice_by_a_second_campaign(site: Site) -> None:
    first = site.add(None)
    campaign_id = site.freeze()
    with site.database.ledger() as connection:
        connection.execute(update(chunks).values(state="accepted"))
        connection.execute(update(deliveries).values(handover="accepted"))
        campaigns.finish_if_done(connection, campaign_id, site.clock.now)
    second = site.add(None)
    site.freeze()
    assert rows(site, select(skips.c.subscriber_id, skips.c.reason)) == [(first, "already_sent")]
    assert [row[0] for row in rows(site, select(deliveries.c.subscriber_id).order_by(deliveries.c.id))] == [
        first,
        second,
    ]


def test_what_was_cancelled_before_it_left_may_be_sent_again(site: Site) -> None:
    site.add(None)
    first = site.freeze()
    with site.database.ledger() as connection:
        campaigns.cancel(connection, first, site.clock.now)
    second = site.freeze()
    assert site.status(first).withheld == 1
    assert site.status(second).waiting == 1


def test_an_issue_has_one_unfinished_campaign_however_often_it_is_asked_for(site: Site) -> None:
    site.add(None)
    campaign_id = site.freeze()
    with pytest.raises(NewsletterError, match=f"campaign {campaign_id} of this issue is not finished"):
        site.create()


def test_lists_and_segments_choose_and_exclude(site: Site) -> None:
    people = [site.add(("car-t",)) for _ in range(3)] + [site.add(("myeloma",))]
    with site.database.ledger() as connection:
        lists.create(connection, "Booth", now=site.clock.now)
        lists.create(connection, "Internal", now=site.clock.now)
        connection.execute(
            insert(list_members),
            [
                {
                    "list_id": lists.get(connection, name).id,
                    "subscriber_id": person,
                    "added_at": site.clock.now,
                }
                for name, members in (("booth", people[:2]), ("internal", people[1:3]))
                for person in members
            ],
        )
        leaves = site.leaves(connection)
        segments.save(connection, "Myeloma", {"topic": "myeloma"}, leaves, now=site.clock.now)
        segments.save(connection, "Cells", {"topic": "car-t"}, leaves, now=site.clock.now)

    def readers(**names: tuple[str, ...]) -> int:
        with site.database.reader() as connection:
            return planning.make(
                connection,
                site.issue,
                Audience(**names),
                settings=site.settings,
                leaves=site.leaves(connection),
                now=site.clock.now,
            ).readers

    assert readers() == 4
    assert readers(lists=("Booth",)) == 2
    assert readers(lists=("Booth",), segments=("Myeloma",)) == 3
    assert readers(exclude_lists=("internal",)) == 2
    assert readers(exclude_segments=("Cells",)) == 1
    assert readers(lists=("booth",), exclude_lists=("internal",)) == 1
    with pytest.raises(NotFound):
        readers(lists=("nobody",))


def test_only_to_keeps_a_staging_copy_from_mailing_anyone_else(site: Site) -> None:
    site.add(None, email="me@ours.example")
    site.add(None, email="Boss@Elsewhere.example", email_key="boss@elsewhere.example")
    site.add(None, email="x@notours.example")
    changed(site, "sending", only_to=("@ours.example", "boss@elsewhere.example"))
    campaign_id = site.freeze()
    assert site.status(campaign_id).skipped == {"only_to": 1}
    assert sorted(row[0] for row in rows(site, select(deliveries.c.email))) == [
        "Boss@Elsewhere.example",
        "me@ours.example",
    ]


@pytest.mark.parametrize(
    ("email", "passes"),
    [
        ("a@ours.example", True),
        ("A@OURS.example", True),
        ("a@x.ours.example", False),
        ("a@ours.example.org", False),
    ],
)
def test_only_to_names_addresses_or_domains(email: str, passes: bool) -> None:
    assert is_allowed(email, ["@ours.example"]) == passes
    assert is_allowed(email, [email.upper()])


def test_too_many_editions_are_refused_with_the_cure_and_free_the_issue(site: Site) -> None:
    site.add(None)
    site.add(("car-t",))
    changed(site, "editions", maximum=1)
    campaign_id = site.create()
    with pytest.raises(NewsletterError, match="make 2 editions") as refusal:
        freeze.freeze(
            site.database, campaign_id, settings=site.settings, leaves=site.leaves, clock=site.clock
        )
    assert refusal.value.cure
    assert site.status(campaign_id).status == "cancelled"
    changed(site, "editions", maximum=2)
    site.freeze()


def test_a_second_freeze_changes_nothing(site: Site) -> None:
    site.add(None)
    campaign_id = site.freeze()
    assert not freeze.freeze(
        site.database, campaign_id, settings=site.settings, leaves=site.leaves, clock=site.clock
    )
    assert site.status(campaign_id).frozen == 1


def test_a_freeze_that_died_is_taken_up_after_a_while(site: Site) -> None:
    site.add(None)
    campaign_id = site.create()

    def take_up() -> list[int]:
        return freeze.take_up(site.database, settings=site.settings, leaves=site.leaves, clock=site.clock)

    assert take_up() == []  # whoever made it is still at work
    site.clock.now += freeze.PREPARING_MAX
    assert take_up() == [campaign_id]
    assert site.status(campaign_id).status == "sending"


def test_readers_who_choose_during_the_freeze_get_the_edition_of_their_new_choice(site: Site) -> None:
    person = site.add(("car-t",))
    now, looks = site.clock.now, []

    def clock() -> datetime:
        """Looked at when people are staged, and when the editions are made: then somebody chooses."""
        looks.append(1)
        if len(looks) == 2:
            with site.database.ledger() as connection:
                choices.set_choices(connection, person, ("myeloma",), by=ChosenBy.READER, now=now)
        return now

    campaign_id = site.create()
    assert freeze.freeze(site.database, campaign_id, settings=site.settings, leaves=site.leaves, clock=clock)
    assert len(looks) > 3  # it began again
    assert rows(site, select(editions.c.topics)) == [(["myeloma"],)]


def test_an_audience_of_nobody_ends_at_once(site: Site) -> None:
    site.add(())
    campaign_id = site.freeze()
    state = site.status(campaign_id)
    assert (state.status, state.frozen, state.skipped) == ("finished", 0, {"no_stories": 1})


@pytest.mark.parametrize(
    ("individual", "measured"), [("with-consent", [0, 1]), ("everyone", [1, 1]), ("nobody", [0, 0])]
)
def test_letters_remember_whether_their_reader_is_measured(
    site: Site, individual: str, measured: list[int]
) -> None:
    site.add(None)
    site.add(None, track_consent=True)
    changed(site, "tracking", individual=individual)
    site.freeze()
    assert [
        int(row[0]) for row in rows(site, select(deliveries.c.measured).order_by(deliveries.c.id))
    ] == measured


def test_audiences_are_kept_and_read_back() -> None:
    audience = Audience(("a",), ("b",), ("c",), ("d",))
    assert Audience.from_json(audience.as_json()) == audience
    assert Audience.from_json({}) == Audience()
    assert audience.in_words() == "list a, segment b, without list c, segment d"
    assert (
        replace(audience, lists=(), segments=(), exclude_lists=(), exclude_segments=()).in_words()
        == "everyone"
    )


def test_people_are_read_with_the_addresses_they_have_at_the_freeze(site: Site) -> None:
    person = site.add(None)
    with site.database.ledger() as connection:
        connection.execute(
            update(subscribers).where(subscribers.c.id == person).values(email="new@example.org")
        )
    site.freeze()
    assert rows(site, select(deliveries.c.email)) == [("new@example.org",)]
