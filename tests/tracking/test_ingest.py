"""Batches of events against a stored campaign: once each, in any order, with their consequences."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from mailer import tables
from mailer.config import Settings
from mailer.database import Database
from mailer.links import Purpose
from mailer.models import Fate
from mailer.tables import attempts, chunks, deliveries, events, subscribers, suppressions
from mailer.tracking import counters, late, verdicts
from mailer.tracking.webhook import IngestReport, ingest
from subscribers.tables import consent
from tests import databases
from tests.conftest import SHARED
from tests.tracking.sample import MESSAGE_ID, Sample, send_sample

EVENTS = SHARED / "sendgrid" / "events"
beside = pytest.mark.skipif(not EVENTS.exists(), reason="the example events are not beside this checkout")
STAMP = 1793354400
SUFFIX = ".recvd-7d9c5b6f8b-q3xkz-1-6A0F001E-0.0"


def take(sample: Sample, rows: Sequence[object], *, minutes: int = 1) -> IngestReport:
    return ingest(
        sample.database,
        orjson.dumps(rows),
        tokens=sample.tokens,
        settings=sample.settings,
        now=sample.now + timedelta(minutes=minutes),
    )


def row(sample: Sample, name: str, event: str, number: int = 0, **fields: object) -> dict[str, object]:
    """An event as it comes back from one of our letters."""
    return {
        "email": f"{name}@example.com",
        "event": event,
        "timestamp": STAMP + number,
        "sg_event_id": f"{name}-{event}-{number}",
        "sg_message_id": MESSAGE_ID + SUFFIX,
        "nl_d": sample.token(Purpose.EVENT, name),
        "nl_a": sample.attempt,
        "ip": "203.0.113.77",
        **fields,
    }


def totals(sample: Sample) -> dict[str, int]:
    with sample.database.reader() as connection:
        return counters.totals(connection)


def suppressed(sample: Sample) -> dict[str, str]:
    with sample.database.reader() as connection:
        query = select(subscribers.c.email, suppressions.c.reason).join(
            suppressions, suppressions.c.key_hash == subscribers.c.key_hash
        )
        return {email.partition("@")[0]: reason for email, reason in connection.execute(query)}


def test_an_event_is_stored_once_however_often_it_comes(sample: Sample) -> None:
    batch = [row(sample, "ada", "delivered"), row(sample, "ada", "delivered"), row(sample, "ben", "deferred")]
    assert take(sample, batch) == IngestReport(rows=3, stored=2, repeated=1, unknown=0, unreadable=0)
    assert take(sample, batch).stored == 0
    assert len(sample.events()) == 2
    assert sample.letter_row("ada")["fate"] == Fate.DELIVERED


def test_a_fate_never_moves_back(sample: Sample) -> None:
    for number, event in enumerate(["delivered", "processed", "deferred"]):
        take(sample, [row(sample, "ada", event, number)])
        assert sample.letter_row("ada")["fate"] == Fate.DELIVERED
    take(sample, [row(sample, "ada", "bounce", 4, type="blocked")])
    take(sample, [row(sample, "ada", "delivered", 5)])
    assert sample.letter_row("ada")["fate"] == Fate.BOUNCED


def test_the_time_of_a_fate_is_that_of_its_first_event(sample: Sample) -> None:
    take(sample, [row(sample, "ada", "deferred", 30)])
    take(sample, [row(sample, "ada", "deferred", 10)])
    take(sample, [row(sample, "ada", "deferred", 20)])
    at = sample.letter_row("ada")["fate_at"]
    assert isinstance(at, datetime)
    assert at.timestamp() == STAMP + 10


def test_a_hard_bounce_and_a_complaint_suppress_and_a_block_does_not(sample: Sample) -> None:
    take(
        sample,
        [
            row(sample, "ada", "bounce", type="bounce", bounce_classification="Invalid Address"),
            row(sample, "ben", "bounce", type="blocked", bounce_classification="Content"),
            row(sample, "cleo", "spamreport"),
        ],
    )
    assert suppressed(sample) == {"ada": "hard_bounce", "cleo": "complaint"}
    assert sample.reader_row("ben")["status"] == "active"
    assert sample.reader_row("cleo")["status"] == "unsubscribed"


@pytest.mark.parametrize("first", [0, 1])
def test_a_complaint_outweighs_a_bounce_in_either_order(sample: Sample, first: int) -> None:
    both = [row(sample, "ada", "bounce", type="bounce"), row(sample, "ada", "spamreport")]
    take(sample, [both[first]])
    take(sample, [both[1 - first]])
    assert suppressed(sample) == {"ada": "complaint"}


@pytest.mark.parametrize("event", ["unsubscribe", "group_unsubscribe"])
def test_who_unsubscribes_at_sendgrid_is_unsubscribed_here_with_proof(sample: Sample, event: str) -> None:
    take(sample, [row(sample, "ada", event)])
    assert sample.reader_row("ada")["status"] == "unsubscribed"
    with sample.database.reader() as connection:
        query = select(consent.c.action, consent.c.purpose, consent.c.source).where(
            consent.c.subscriber_id == sample.readers["ada"], consent.c.action == "withdrawn"
        )
        assert connection.execute(query).all() == [("withdrawn", "receive", "sendgrid")]


def test_an_old_unsubscribe_that_comes_again_does_not_end_a_new_subscription(sample: Sample) -> None:
    left = row(sample, "ada", "unsubscribe")
    take(sample, [left])
    with sample.database.ledger() as connection:
        connection.execute(
            update(subscribers).where(subscribers.c.id == sample.readers["ada"]).values(status="active")
        )
    assert take(sample, [left]).repeated == 1
    assert sample.reader_row("ada")["status"] == "active"


def test_an_event_without_our_arguments_finds_its_letter_by_message_and_address(sample: Sample) -> None:
    late_bounce = row(sample, "ada", "bounce", type="bounce", email="ADA@Example.com")
    del late_bounce["nl_d"], late_bounce["nl_a"]
    assert take(sample, [late_bounce]).unknown == 0
    assert sample.letter_row("ada")["fate"] == Fate.BOUNCED
    assert suppressed(sample) == {"ada": "hard_bounce"}


def test_an_address_alone_is_no_letter(sample: Sample) -> None:
    other = row(sample, "ada", "bounce", type="bounce", sg_message_id="another" + SUFFIX)
    del other["nl_d"], other["nl_a"]
    assert take(sample, [other]).unknown == 1
    assert sample.letter_row("ada")["fate"] == Fate.NONE
    assert suppressed(sample) == {}


def test_an_event_that_overtakes_the_answer_is_linked_later(sample: Sample) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(attempts).values(message_id=None, outcome=None))
    early = row(sample, "ada", "bounce", type="bounce")
    del early["nl_d"], early["nl_a"]
    assert take(sample, [early]).unknown == 1
    assert late.link_late(sample.database, sample.now + timedelta(minutes=2)) == 0
    with sample.database.ledger() as connection:
        connection.execute(update(attempts).values(message_id=MESSAGE_ID, outcome="accepted"))
    assert late.link_late(sample.database, sample.now + timedelta(minutes=3)) == 1
    assert sample.letter_row("ada")["fate"] == Fate.BOUNCED
    assert suppressed(sample) == {"ada": "hard_bounce"}
    assert totals(sample)[counters.UNKNOWN_DELIVERIES] == 0
    (stored,) = sample.events()
    assert stored["detail"] == {"type": "bounce"}
    assert stored["delivery_id"] == sample.letters["ada"]


def test_a_trace_that_leads_nowhere_is_forgotten_within_the_hour(sample: Sample) -> None:
    stranger = row(sample, "ada", "delivered", email="stranger@example.org", sg_message_id="other" + SUFFIX)
    del stranger["nl_d"]
    take(sample, [stranger])
    late.link_late(sample.database, sample.now + timedelta(hours=2))
    (stored,) = sample.events()
    assert (stored["settled"], stored["detail"]) == (True, {})


@pytest.mark.parametrize(
    ("body", "unreadable"),
    [
        (b'["no object", null, 7, {"event": 7}, [], "no object", {"event": "delivered", "email": "x"}]', 5),
        (b"no json at all", 1),
    ],
)
def test_a_malformed_post_that_comes_again_changes_nothing(
    sample: Sample, body: bytes, unreadable: int
) -> None:
    def post() -> IngestReport:
        return ingest(sample.database, body, tokens=sample.tokens, settings=sample.settings, now=sample.now)

    assert post().unreadable == unreadable
    before = (snapshot(sample), sample.events(), totals(sample))
    assert totals(sample)[counters.UNREADABLE_ROWS] == unreadable
    again = post()
    assert (again.stored, again.unreadable, again.repeated) == (0, 0, again.rows)
    assert (snapshot(sample), sample.events(), totals(sample)) == before


def test_a_token_of_another_door_or_of_nobody_links_nothing(sample: Sample) -> None:
    forged = [
        row(sample, "ada", "spamreport", 1, nl_d=sample.token(Purpose.TRACK, "ada"), email="x@example.org"),
        row(sample, "ada", "spamreport", 2, nl_d="A" * 24, email="x@example.org"),
        row(sample, "ada", "spamreport", 3, nl_d={"nested": 1}, email="x@example.org"),
        row(sample, "ada", "spamreport", 4, nl_d=sample.tokens.sign(Purpose.EVENT, 10**9)),
    ]
    assert take(sample, forged) == IngestReport(rows=4, stored=4, repeated=0, unknown=4, unreadable=0)
    assert suppressed(sample) == {}


def test_unknown_deliveries_are_counted_once(sample: Sample) -> None:
    strange = row(sample, "ada", "delivered", nl_d="", sg_message_id="", email="")
    take(sample, [strange, "no object", None])
    take(sample, [strange])
    assert totals(sample) == {counters.UNKNOWN_DELIVERIES: 1, counters.UNREADABLE_ROWS: 2}


def test_an_event_ends_the_doubt_about_its_call(sample: Sample) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(chunks).values(state="uncertain"))
        connection.execute(update(attempts).values(outcome="uncertain", message_id=None))
        connection.execute(update(deliveries).values(handover="held"))
    take(sample, [row(sample, "ada", "deferred")])
    assert {sample.letter_row(name)["handover"] for name in sample.letters} == {"accepted"}


def test_an_attempt_id_alone_ends_the_doubt_too(sample: Sample) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(chunks).values(state="uncertain"))
        connection.execute(update(attempts).values(outcome="uncertain", message_id=None))
        connection.execute(update(deliveries).values(handover="held"))
    take(sample, [row(sample, "ada", "processed", nl_d="lost")])
    assert sample.letter_row("ben")["handover"] == "accepted"


def test_opens_that_sendgrid_tracked_are_named_with_consent_only(sample: Sample) -> None:
    take(
        sample,
        [
            row(sample, "ada", "open", useragent="Mozilla/5.0", sg_machine_open=True),
            row(sample, "cleo", "click", useragent="curl/8", url="https://example.org/private?who=cleo"),
        ],
    )
    ada, cleo = sample.events()
    assert (ada["delivery_id"], ada["verdict"], ada["rule"]) == (
        sample.letters["ada"],
        "machine",
        "sendgrid-machine-open/1",
    )
    assert (cleo["delivery_id"], cleo["campaign_id"], cleo["verdict"]) == (None, sample.campaign, "unknown")
    assert "private" not in json.dumps(cleo, default=str)


def test_no_address_ip_or_header_is_in_the_database_after_a_post(sample: Sample, settings: Settings) -> None:
    secret = ["visitor@example.net", "203.0.113.77", "2001:db8::99", "SecretBrowser", "tracking-secret"]
    take(
        sample,
        [
            row(
                sample,
                "ada",
                event,
                number,
                email="visitor@example.net",
                reason="550 <visitor@example.net> refused 203.0.113.77 and 2001:db8::99",
                response="250 tracking-secret",
                useragent="Mozilla/5.0 SecretBrowser/1.0 tracking-secret",
                url="https://example.org/?tracking-secret",
                category=["tracking-secret"],
                **{"smtp-id": "<tracking-secret@example.net>"},
            )
            for number, event in enumerate(("bounce", "open", "click", "deferred", "strange_kind"))
        ],
    )
    stored = databases.contents(sample.database)
    assert b"strange_kind" in stored
    for word in secret:
        assert word.encode() not in stored, word


def snapshot(sample: Sample) -> dict[str, Any]:
    """All that events may change, without ids and times of arrival."""
    with sample.database.reader() as connection:
        stored = connection.execute(
            select(
                events.c.dedupe_key,
                events.c.delivery_id,
                events.c.kind,
                events.c.occurred_at,
                events.c.verdict,
            ).order_by(events.c.dedupe_key)
        ).all()
        letters = connection.execute(
            select(
                deliveries.c.id,
                deliveries.c.fate,
                deliveries.c.fate_at,
                deliveries.c.first_human_open_at,
                deliveries.c.first_human_click_at,
            ).order_by(deliveries.c.id)
        ).all()
        people = connection.execute(
            select(subscribers.c.id, subscribers.c.status).order_by(subscribers.c.id)
        ).all()
        reasons = connection.execute(select(suppressions.c.key_hash, suppressions.c.reason)).all()
    return {
        "events": stored,
        "letters": letters,
        "people": people,
        "suppressed": sorted(tuple(each) for each in reasons),
        "counters": totals(sample),
    }


def forget(sample: Sample) -> None:
    """Back to the moment after the send."""
    with sample.database.ledger() as connection:
        connection.execute(delete(events))
        connection.execute(delete(suppressions))
        connection.execute(delete(tables.counters))
        connection.execute(
            update(deliveries).values(
                fate="none", fate_at=None, first_human_open_at=None, first_human_click_at=None
            )
        )
        connection.execute(update(subscribers).values(status="active", unsubscribed_at=None))


KINDS: Sequence[Mapping[str, object]] = (
    {"event": "processed"},
    {"event": "deferred"},
    {"event": "delivered"},
    {"event": "bounce", "type": "bounce"},
    {"event": "bounce", "type": "blocked"},
    {"event": "dropped", "reason": "Invalid"},
    {"event": "spamreport"},
    {"event": "unsubscribe"},
    {"event": "open", "useragent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
    {"event": "click", "useragent": "curl/8", "url": "https://example.org/a"},
    {"event": "click", "useragent": "curl/8", "url": "https://example.org/b"},
)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_multiset_and_order_of_events_gives_the_same_database(
    sample: Sample, data: st.DataObject
) -> None:
    chosen = data.draw(
        st.lists(
            st.tuples(st.sampled_from(list(sample.letters)), st.sampled_from(KINDS), st.integers(0, 5)),
            min_size=1,
            max_size=8,
            unique_by=lambda each: (each[0], str(each[1]), each[2]),
        )
    )
    batch = [
        row(sample, name, number=at, **{**kind, "sg_event_id": f"{name}-{kind}-{at}".encode().hex()})  # type: ignore[arg-type]
        for name, kind, at in chosen
    ]
    forget(sample)
    take(sample, batch)
    verdicts.settle(sample.database, sample.now + timedelta(hours=1))
    expected = snapshot(sample)

    shuffled = data.draw(st.permutations(batch + data.draw(st.lists(st.sampled_from(batch), max_size=5))))
    cut = data.draw(st.integers(0, len(shuffled)))
    forget(sample)
    for part in (shuffled[:cut], shuffled[cut:]):
        take(sample, part)
        verdicts.settle(sample.database, sample.now + timedelta(hours=1))
    assert snapshot(sample) == expected


def as_ours(sample: Sample, file: str, names: Callable[[str], str]) -> list[dict[str, Any]]:
    """A published batch, its delivery ids replaced by our tokens."""
    batch: list[dict[str, Any]] = json.loads((EVENTS / file).read_text())
    for each in batch:
        if "delivery_id" in each:
            each["nl_d"] = sample.token(Purpose.EVENT, names(each.pop("delivery_id")))
    return batch


@beside
def test_the_published_delivery_batch_has_its_one_hard_bounce(
    database: Database, settings: Settings, now: datetime
) -> None:
    ids = {each["delivery_id"] for each in json.loads((EVENTS / "01_delivery_mixed.json").read_text())}
    sample = send_sample(database, settings, now, dict.fromkeys((f"r{each[-6:]}" for each in ids), True))
    batch = as_ours(sample, "01_delivery_mixed.json", lambda each: f"r{each[-6:]}")
    report = take(sample, batch)
    assert (report.stored, report.unknown, report.unreadable) == (len(batch), 0, 0)
    reasons = sorted(suppressed(sample).values())
    assert reasons.count("hard_bounce") == 1 + sum(each.get("reason") == "Bounced Address" for each in batch)
    with database.reader() as connection:
        query = select(deliveries.c.fate, func.count().label("letters")).group_by(deliveries.c.fate)
        fates = {each.fate: each.letters for each in connection.execute(query)}
    assert (fates["bounced"], fates["provider_dropped"]) == (4, 5)


@beside
def test_the_published_scanner_burst_has_nine_machine_clicks_and_one_of_a_person(sample: Sample) -> None:
    batch = as_ours(sample, "06_scanner_burst.json", lambda _: "ada")
    take(sample, batch)
    verdicts.settle(sample.database, sample.now + timedelta(hours=1))
    found = [each["verdict"] for each in sample.events() if each["kind"] == "click"]
    assert (found.count("machine"), found.count("human")) == (9, 1)


@beside
@pytest.mark.parametrize("file", ["03_duplicates_out_of_order.json", "07_batch_600.json"])
def test_published_batches_change_nothing_the_second_time(sample: Sample, file: str) -> None:
    batch = json.loads((EVENTS / file).read_text())
    first = take(sample, batch)
    assert first.stored == len({each["sg_event_id"] for each in batch})
    before = snapshot(sample)
    assert take(sample, list(reversed(batch))).stored == 0
    assert snapshot(sample) == before


@beside
def test_what_the_console_button_sends_is_of_no_letter_of_ours(sample: Sample) -> None:
    batch = json.loads((EVENTS / "05_test_integration.json").read_text())
    report = take(sample, batch)
    assert (report.unknown, report.unreadable) == (report.stored, 0)
    assert suppressed(sample) == {}
