"""Hits of our own, from the token to the settled verdict."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import reconcile
from mailer.links import Purpose
from mailer.tables import chunks, deliveries, events, subscribers
from mailer.tracking import verdicts
from mailer.tracking.hits import Hit, HitWriter, Kind, Landing
from mailer.tracking.verdicts import StoredHit, in_burst, settle
from subscribers import consent
from subscribers.models import SubscriberStatus
from tests import databases
from tests.tracking.sample import BROWSER, Sample

LATER = timedelta(minutes=10)


def knock(writer: HitWriter, *hits: Hit) -> list[Landing]:
    """All at once, as the doors do."""

    async def all_of_them() -> list[Landing]:
        return list(await asyncio.gather(*(writer.submit(hit) for hit in hits)))

    return asyncio.run(all_of_them())


def hit(
    sample: Sample,
    kind: Kind,
    name: str = "ada",
    *,
    link: int | None = None,
    after: float = 60,
    agent: str = BROWSER,
    token: str | None = None,
) -> Hit:
    token = sample.token(Purpose.TRACK, name) if token is None else token
    return Hit(kind, token, link, agent, sample.now + timedelta(seconds=after))


def verdicts_of(sample: Sample, kind: str) -> list[object]:
    return [each["verdict"] for each in sample.events() if each["kind"] == kind]


def first_of(sample: Sample, kind: str, name: str = "ada") -> object:
    return sample.letter_row(name)[f"first_human_{kind}_at"]


def test_a_click_leads_to_its_link_and_is_stored_before_it_is_answered(
    sample: Sample, writer: HitWriter
) -> None:
    (link,) = sample.link_ids(1)
    (landing,) = knock(writer, hit(sample, "click", link=link))
    assert landing.url is not None
    assert landing.url.startswith("https://")
    (stored,) = sample.events()
    assert (stored["kind"], stored["link_id"], stored["delivery_id"]) == (
        "click",
        link,
        sample.letters["ada"],
    )
    assert str(stored["dedupe_key"]).startswith("w:")


def test_three_hundred_hits_at_once_are_all_stored(sample: Sample, writer: HitWriter) -> None:
    hits = [hit(sample, "open", name, after=n) for n, name in enumerate(["ada", "ben", "cleo"] * 100)]
    assert all(landing.stored for landing in knock(writer, *hits))
    assert len(sample.events()) == 300


def test_hits_that_wait_are_stored_when_the_writer_stops(sample: Sample) -> None:
    writer = HitWriter(sample.database, sample.tokens, sample.settings)
    writer.start()

    async def hand_over_and_stop() -> None:
        waiting = [asyncio.ensure_future(writer.submit(hit(sample, "open", after=n))) for n in range(50)]
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.stop)
        await asyncio.gather(*waiting)

    asyncio.run(hand_over_and_stop())
    assert len(sample.events()) == 50


@pytest.mark.parametrize("token", ["", "x" * 24, "é" * 24, "A" * 24])
def test_a_token_of_nobody_leads_nowhere_and_stores_nothing(
    sample: Sample, writer: HitWriter, token: str
) -> None:
    (link,) = sample.link_ids(1)
    click, picture = knock(
        writer, hit(sample, "click", link=link, token=token), hit(sample, "open", token=token)
    )
    assert (click.url, picture.url) == (None, None)
    assert sample.events() == []


def test_a_token_of_another_door_leads_nowhere(sample: Sample, writer: HitWriter) -> None:
    (link,) = sample.link_ids(1)
    for purpose in (Purpose.READ, Purpose.LEAVE, Purpose.PREFS, Purpose.EVENT):
        (landing,) = knock(writer, hit(sample, "click", link=link, token=sample.token(purpose, "ada")))
        assert landing.url is None


def test_a_link_of_another_campaign_is_no_link(sample: Sample, writer: HitWriter) -> None:
    (link,) = sample.link_ids(1)
    other = sample.tokens.sign(Purpose.TRACK_CAMPAIGN, sample.campaign + 1)
    (landing,) = knock(writer, hit(sample, "click", link=link, token=other))
    assert landing.url is None
    assert knock(writer, hit(sample, "click", link=10**9))[0].url is None
    assert sample.events() == []


def test_the_campaigns_token_counts_for_the_campaign_alone(sample: Sample, writer: HitWriter) -> None:
    (link,) = sample.link_ids(1)
    token = sample.tokens.sign(Purpose.TRACK_CAMPAIGN, sample.campaign)
    (landing,) = knock(writer, hit(sample, "click", link=link, token=token))
    assert landing.url is not None
    (stored,) = sample.events()
    assert (stored["campaign_id"], stored["delivery_id"], stored["settled"]) == (sample.campaign, None, True)


def test_who_never_agreed_is_not_named_even_by_a_token_of_their_own(
    sample: Sample, writer: HitWriter
) -> None:
    knock(writer, hit(sample, "open", "cleo"))
    (stored,) = sample.events()
    assert stored["delivery_id"] is None


def test_withdrawing_works_for_letters_already_sent(sample: Sample, writer: HitWriter) -> None:
    knock(writer, hit(sample, "open"))
    with sample.database.ledger() as connection:
        consent.set_track_consent(connection, sample.readers["ada"], False, now=sample.now, source="test")
    knock(writer, hit(sample, "open", after=90))
    assert [each["delivery_id"] for each in sample.events()] == [sample.letters["ada"], None]


@pytest.mark.parametrize(("rule", "named"), [("everyone", True), ("nobody", False), ("with-consent", False)])
def test_the_configuration_decides_over_who_did_not_agree(sample: Sample, rule: str, named: bool) -> None:
    tracking = sample.settings.tracking.model_copy(update={"individual": rule})
    writer = HitWriter(
        sample.database, sample.tokens, sample.settings.model_copy(update={"tracking": tracking})
    )
    writer.start()
    knock(writer, hit(sample, "open", "cleo"))
    writer.stop()
    assert (sample.events()[0]["delivery_id"] is not None) == named


def test_a_hit_of_an_erased_reader_names_nobody(sample: Sample, writer: HitWriter) -> None:
    with sample.database.ledger() as connection:
        connection.execute(
            update(deliveries).where(deliveries.c.id == sample.letters["ada"]).values(subscriber_id=None)
        )
    knock(writer, hit(sample, "open"))
    assert sample.events()[0]["delivery_id"] is None


def test_no_header_is_kept_only_its_family(sample: Sample, writer: HitWriter) -> None:
    knock(writer, hit(sample, "open", agent=BROWSER + " VerySecretPlugin/9"))
    assert sample.events()[0]["detail"] == {"agent": "Chrome"}
    assert b"VerySecretPlugin" not in databases.contents(sample.database)


def test_a_persons_open_and_click_are_first_and_dated(sample: Sample, writer: HitWriter) -> None:
    (link,) = sample.link_ids(1)
    knock(writer, hit(sample, "open", after=60), hit(sample, "open", after=90))
    knock(writer, hit(sample, "click", link=link, after=120))
    assert settle(sample.database, sample.now + LATER) == 3
    assert first_of(sample, "open") == sample.now + timedelta(seconds=60)
    assert first_of(sample, "click") == sample.now + timedelta(seconds=120)
    assert sample.reader_row("ada")["last_engaged_on"] == sample.now.date()
    assert sample.reader_row("ada")["last_clicked_on"] == sample.now.date()
    assert settle(sample.database, sample.now + LATER) == 0


def test_nothing_is_settled_before_its_burst_window_has_passed(sample: Sample, writer: HitWriter) -> None:
    knock(writer, hit(sample, "open", after=60))
    assert settle(sample.database, sample.now + timedelta(seconds=61)) == 0
    assert first_of(sample, "open") is None
    assert settle(sample.database, sample.now + timedelta(seconds=63)) == 1


def test_several_links_within_two_seconds_are_all_a_machines(sample: Sample, writer: HitWriter) -> None:
    links = sample.link_ids(3)
    knock(
        writer,
        hit(sample, "open", after=59),
        *(hit(sample, "click", link=link, after=60 + n) for n, link in enumerate(links)),
    )
    knock(writer, hit(sample, "click", link=links[0], after=300))
    settle(sample.database, sample.now + LATER)
    assert verdicts_of(sample, "click") == ["machine", "machine", "machine", "human"]
    assert verdicts_of(sample, "open") == ["machine"]
    assert first_of(sample, "click") == sample.now + timedelta(seconds=300)


def test_an_image_proxys_open_amid_a_burst_is_the_machines_too(sample: Sample, writer: HitWriter) -> None:
    one, other = sample.link_ids(2)
    proxy = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
    knock(
        writer, hit(sample, "open", after=60, agent=proxy), hit(sample, "open", "ben", after=60, agent=proxy)
    )
    knock(writer, hit(sample, "click", link=one, after=61), hit(sample, "click", link=other, after=62))
    settle(sample.database, sample.now + LATER)
    found = {each["delivery_id"]: each["verdict"] for each in sample.events() if each["kind"] == "open"}
    assert found == {sample.letters["ada"]: "machine", sample.letters["ben"]: "unknown"}


def test_the_same_link_twice_is_a_person_in_a_hurry(sample: Sample, writer: HitWriter) -> None:
    (link,) = sample.link_ids(1)
    knock(writer, hit(sample, "click", link=link, after=60), hit(sample, "click", link=link, after=61))
    settle(sample.database, sample.now + LATER)
    assert verdicts_of(sample, "click") == ["human", "human"]


def test_two_readers_clicks_are_no_burst(sample: Sample, writer: HitWriter) -> None:
    one, other = sample.link_ids(2)
    knock(writer, hit(sample, "click", "ada", link=one), hit(sample, "click", "ben", link=other))
    settle(sample.database, sample.now + LATER)
    assert verdicts_of(sample, "click") == ["human", "human"]


def test_a_later_hit_labels_what_was_settled_before(sample: Sample, writer: HitWriter) -> None:
    one, other = sample.link_ids(2)
    knock(writer, hit(sample, "click", link=one, after=60))
    settle(sample.database, sample.now + LATER)
    assert first_of(sample, "click") is not None
    knock(writer, hit(sample, "click", link=other, after=62))
    settle(sample.database, sample.now + LATER)
    assert verdicts_of(sample, "click") == ["machine", "machine"]
    assert first_of(sample, "click") is None


def test_a_burst_known_late_takes_back_the_readers_days(sample: Sample, writer: HitWriter) -> None:
    one, other = sample.link_ids(2)
    day = timedelta(days=1).total_seconds()
    knock(
        writer,
        hit(sample, "click", link=one, after=60),
        hit(sample, "open", after=day),
        hit(sample, "click", link=one, after=2 * day),
        hit(sample, "click", "ben", link=one, after=2 * day),
    )
    settle(sample.database, sample.now + timedelta(days=3))
    last = sample.now.date() + timedelta(days=2)
    assert (sample.reader_row("ada")["last_engaged_on"], sample.reader_row("ada")["last_clicked_on"]) == (
        last,
        last,
    )
    knock(writer, hit(sample, "click", link=other, after=2 * day + 1))
    settle(sample.database, sample.now + timedelta(days=3))
    ada = sample.reader_row("ada")
    assert (ada["last_engaged_on"], ada["last_clicked_on"]) == (
        sample.now.date() + timedelta(days=1),
        sample.now.date(),
    )
    assert sample.reader_row("ben")["last_clicked_on"] == last


def test_a_reader_whose_only_hits_were_a_machines_has_no_day(sample: Sample, writer: HitWriter) -> None:
    (link,) = sample.link_ids(1)
    knock(writer, hit(sample, "click", link=link, after=60))
    settle(sample.database, sample.now + LATER)
    knock(writer, hit(sample, "head", link=link, after=65))
    settle(sample.database, sample.now + LATER)
    ada = sample.reader_row("ada")
    assert (ada["last_engaged_on"], ada["last_clicked_on"]) == (None, None)


def test_taking_back_never_gives_a_day_to_who_has_none(sample: Sample, writer: HitWriter) -> None:
    one, other = sample.link_ids(2)
    knock(writer, hit(sample, "click", link=one, after=60), hit(sample, "open", after=300))
    settle(sample.database, sample.now + LATER)
    with sample.database.ledger() as connection:
        connection.execute(update(subscribers).values(last_engaged_on=None, last_clicked_on=None))
    knock(writer, hit(sample, "click", link=other, after=61))
    settle(sample.database, sample.now + LATER)
    ada = sample.reader_row("ada")
    assert (ada["last_engaged_on"], ada["last_clicked_on"]) == (None, None)


def test_a_burst_is_known_after_a_restart_in_its_middle(sample: Sample) -> None:
    for number, link in enumerate(sample.link_ids(3)):
        writer = HitWriter(sample.database, sample.tokens, sample.settings)
        writer.start()
        knock(writer, hit(sample, "click", link=link, after=60 + number / 2))
        writer.stop()
    settle(sample.database, sample.now + LATER)
    assert verdicts_of(sample, "click") == ["machine"] * 3


def test_a_head_is_no_event_and_makes_the_gets_around_it_a_machines(
    sample: Sample, writer: HitWriter
) -> None:
    (link,) = sample.link_ids(1)
    knock(writer, hit(sample, "click", link=link, after=51))
    settle(sample.database, sample.now + LATER)
    assert first_of(sample, "click") is not None
    (landing,) = knock(writer, hit(sample, "head", link=link, after=60))
    assert landing.url is not None
    knock(writer, hit(sample, "click", link=link, after=70), hit(sample, "click", "ben", link=link, after=70))
    knock(writer, hit(sample, "click", link=link, after=90))
    settle(sample.database, sample.now + LATER)
    ada = [each for each in sample.events() if each["delivery_id"] == sample.letters["ada"]]
    assert [(each["verdict"], each["rule"]) for each in ada] == [
        ("machine", "head/1"),
        ("machine", "head/1"),
        ("human", "reader-agent/1"),
    ]
    assert first_of(sample, "click") == sample.now + timedelta(seconds=90)
    assert first_of(sample, "click", "ben") is not None


def test_a_head_of_a_nameless_letter_changes_nothing(sample: Sample, writer: HitWriter) -> None:
    knock(writer, hit(sample, "open", "cleo", after=60))
    knock(writer, hit(sample, "head", "cleo", after=61))
    assert verdicts_of(sample, "open") == ["human"]


def test_who_opens_a_letter_in_doubt_has_it(sample: Sample, writer: HitWriter) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(chunks).values(state="uncertain"))
        connection.execute(update(deliveries).values(handover="held"))
    knock(writer, hit(sample, "open"))
    settle(sample.database, sample.now + LATER)
    assert sample.letter_row("ben")["handover"] == "accepted"


def test_a_database_that_refuses_costs_the_hit_and_not_the_readers_way(
    sample: Sample, writer: HitWriter
) -> None:
    (link,) = sample.link_ids(1)
    with sample.database.ledger() as connection:
        connection.exec_driver_sql("ALTER TABLE event RENAME TO gone")
    (landing,) = knock(writer, hit(sample, "click", link=link))
    assert landing.url is not None
    assert not landing.stored
    with sample.database.ledger() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO event")
    assert knock(writer, hit(sample, "click", link=link))[0].stored


def test_somebody_who_left_still_gets_where_a_link_leads(sample: Sample, writer: HitWriter) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(subscribers).values(status=SubscriberStatus.UNSUBSCRIBED))
    (link,) = sample.link_ids(1)
    assert knock(writer, hit(sample, "click", link=link))[0].url is not None


@pytest.mark.sqlite_only(reason="a plan in SQLite's words")
def test_settling_uses_its_index(database: Database, now: datetime, settings: Settings) -> None:
    with database.reader() as connection:
        query = (
            select(events.c.id)
            .where(~events.c.settled, events.c.received_at <= now)
            .where(events.c.delivery_id.is_not(None))
            .order_by(events.c.received_at)
        )
        text = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text).all()
    assert any("ix_event_unsettled" in str(line) for line in plan), plan


@pytest.mark.sqlite_only(reason="a plan in SQLite's words")
def test_a_letters_hits_are_found_by_their_index(database: Database, now: datetime) -> None:
    found = []

    @event.listens_for(database.ledger_engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if not statement.startswith("EXPLAIN") and " event" in statement:
            plan = connection.connection.driver_connection.execute(
                "EXPLAIN QUERY PLAN " + statement, parameters
            )
            found.append([line[3] for line in plan])

    with database.ledger() as connection:
        verdicts._find_bursts(connection, {1}, [now])
        verdicts._write_firsts(connection, {1})
        verdicts._lower_engagement(connection, {1})
        reconcile.hold(connection, 1)
    looked_up = [line for plan in found for line in plan if " event " in line]
    assert len(looked_up) >= 5
    assert all("USING INDEX ix_event_delivery (delivery_id=?" in line for line in looked_up), looked_up


seconds = st.integers(0, 300).map(lambda tenth: tenth / 10)


@given(st.lists(st.tuples(seconds, st.sampled_from([None, "1", "2", "3"])), max_size=12), st.randoms())
def test_a_burst_is_what_its_definition_says_in_any_order(
    drawn: Sequence[tuple[float, str | None]], order: object
) -> None:
    start = datetime(2026, 4, 10, tzinfo=UTC)
    hits = [
        StoredHit(number, "click" if link else "open", link, start + timedelta(seconds=at))
        for number, (at, link) in enumerate(drawn)
    ]
    expected = {
        one.id
        for one in hits
        if len({each.link for each in hits if each.link and abs(each.at - one.at) <= timedelta(seconds=2)})
        > 1
    }
    shuffled = list(hits)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert in_burst(shuffled) == expected
