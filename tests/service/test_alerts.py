"""What needs a person: raised once, ended when over, raised anew when it comes back; and who hears of it."""

import shutil
from collections import namedtuple
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from mailer.delivery import campaigns
from mailer.delivery.transport import Accepted, Uncertain
from mailer.house_models import OccurrenceState
from mailer.insight import notices as noted
from mailer.insight import troubles
from mailer.models import CampaignStatus
from mailer.sandbox.server import SandboxServer
from mailer.service import alerts, health
from mailer.service.rooms import Rooms
from mailer.tables import (
    attempts,
    campaign_counts,
    events,
    fences,
    identities,
    notices,
    occurrences,
    schedules,
)
from mailer.tables import campaigns as campaign_table
from mailer.tracking import heartbeats
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import filled, work
from tests.service.conftest import configure, letters, rooms_of

MINUTE = timedelta(minutes=1)
OPERATOR = "operator@example.org"


def open_now(rooms: Rooms) -> dict[str, str]:
    """What is open after a look: kind -> what is said."""
    alerts.look(rooms, rooms.now())
    with rooms.database.reader() as connection:
        return {notice.kind: notice.said for notice in noted.open_ones(connection)}


def every_row(rooms: Rooms) -> list[tuple[str, bool]]:
    """Kind and whether it is over, of all notices."""
    with rooms.database.reader() as connection:
        rows = connection.execute(select(notices.c.kind, notices.c.ended_at).order_by(notices.c.id))
        return [(kind, ended is not None) for kind, ended in rows]


def pause(site: Site, reason: str = "SendGrid refused the key (401). Check it.") -> int:
    campaign = filled(site, 3)
    with site.database.ledger() as connection:
        campaigns.pause(connection, campaign, reason)
    return campaign


def test_a_quiet_site_has_nothing_to_say(rooms: Rooms) -> None:
    assert open_now(rooms) == {}
    assert every_row(rooms) == []


def test_a_paused_campaign_is_told_with_its_reason_and_over_once_it_goes_on(site: Site, rooms: Rooms) -> None:
    campaign = pause(site)
    assert "SendGrid refused the key (401)" in open_now(rooms)["paused"]
    site.clock.now += MINUTE
    assert list(open_now(rooms)) == ["paused"]
    assert every_row(rooms) == [("paused", False)]
    with site.database.ledger() as connection:
        campaigns.resume(connection, campaign, site.clock.now)
    assert open_now(rooms) == {}
    assert every_row(rooms) == [("paused", True)]


def test_the_same_trouble_later_is_a_new_one(site: Site, rooms: Rooms) -> None:
    campaign = pause(site)
    open_now(rooms)
    for _ in range(2):
        with site.database.ledger() as connection:
            campaigns.resume(connection, campaign, site.clock.now)
        open_now(rooms)
        with site.database.ledger() as connection:
            campaigns.pause(connection, campaign, "SendGrid refused the key (401). Check it.")
        site.clock.now += MINUTE
        open_now(rooms)
    assert every_row(rooms) == [("paused", True), ("paused", True), ("paused", False)]


def test_another_reason_between_two_looks_is_another_trouble(site: Site, rooms: Rooms) -> None:
    campaign = pause(site)
    open_now(rooms)
    with site.database.ledger() as connection:
        campaigns.resume(connection, campaign, site.clock.now)
        campaigns.pause(connection, campaign, "paused by hand")
    assert "paused by hand" in open_now(rooms)["paused"]
    assert every_row(rooms) == [("paused", True), ("paused", False)]


def test_looking_twice_at_once_raises_one(site: Site, rooms: Rooms) -> None:
    pause(site)
    with site.database.reader() as connection:
        seen = noted.difference(connection, troubles.all_of(connection, site.settings, site.clock.now))
    for _ in range(2):  # two processes that looked at the same moment
        with site.database.ledger() as connection:
            noted.settle(connection, seen, site.clock.now)
    assert every_row(rooms) == [("paused", False)]


def test_held_letters_are_told_when_no_event_came_for_ten_minutes(site: Site, rooms: Rooms) -> None:
    campaign = filled(site, 3)
    work(site, Provider(lambda _addresses, _number: Uncertain("the connection was cut")))
    assert site.status(campaign).held == 3
    assert open_now(rooms) == {}
    site.clock.now += troubles.DOUBT_RIPENS + MINUTE
    assert open_now(rooms)["uncertain"].startswith(f"3 letters of campaign {campaign} (week-01) are held")


def test_held_letters_that_will_be_sent_again_call_nobody_for_an_hour(site: Site) -> None:
    configure(site, sending={"on_uncertain": "resend-when-silent"})
    rooms = rooms_of(site)
    filled(site, 3)
    work(site, Provider(lambda _addresses, _number: Uncertain("the connection was cut")))
    site.clock.now += timedelta(minutes=59)
    assert open_now(rooms) == {}
    site.clock.now += 2 * MINUTE
    assert list(open_now(rooms)) == ["uncertain"]


def test_a_campaign_that_missed_its_time_names_it(site: Site, rooms: Rooms) -> None:
    campaign = filled(site, 1)
    occurrence = planned(site, OccurrenceState.MISSED, civil="2026-04-10 07:30")
    with site.database.ledger() as connection:
        connection.execute(
            update(campaign_table).values(status=CampaignStatus.MISSED, occurrence_id=occurrence)
        )
    assert "missed its time, 2026-04-10 07:30 (Europe/Paris)" in open_now(rooms)["missed"]
    assert every_row(rooms) == [("missed", False)], "the campaign tells it, its occurrence does not once more"
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign, site.clock.now)
        connection.execute(update(occurrences).values(state=OccurrenceState.DONE))
    assert open_now(rooms) == {}


def planned(site: Site, state: OccurrenceState, **values: Any) -> int:
    """A weekly rule with one occurrence in this state; its number."""
    with site.database.ledger() as connection:
        schedule = connection.execute(
            insert(schedules)
            .values(kind="weekly", rule="fri 07:30", zone="Europe/Paris", created_at=site.clock.now)
            .returning(schedules.c.id)
        ).scalar_one()
        row = {"civil": "2026-04-17 07:30", "reminders": 0, "settled_at": site.clock.now} | values
        return int(
            connection.execute(
                insert(occurrences)
                .values(schedule_id=schedule, at=site.clock.now, zone_data="2026a", state=state, **row)
                .returning(occurrences.c.id)
            ).scalar_one()
        )


def test_a_skipped_week_is_told_for_a_week(site: Site, rooms: Rooms) -> None:
    planned(site, OccurrenceState.SKIPPED, reason="no issue was approved")
    assert (
        "Nothing went at 2026-04-17 07:30 (Europe/Paris): no issue was approved."
        in open_now(rooms)["skipped"]
    )
    site.clock.now += troubles.TOLD_FOR + MINUTE
    assert open_now(rooms) == {}


def test_a_rule_that_somebody_ended_skips_nothing(site: Site, rooms: Rooms) -> None:
    planned(site, OccurrenceState.SKIPPED, reason="the rule was changed")
    with site.database.ledger() as connection:
        connection.execute(update(schedules).values(ended_at=site.clock.now))
    assert open_now(rooms) == {}


def test_each_reminder_is_a_notice_of_its_own(site: Site, rooms: Rooms) -> None:
    planned(site, OccurrenceState.PENDING, reminders=1)
    assert "No issue is approved for 2026-04-17 07:30" in open_now(rooms)["reminder"]
    with site.database.ledger() as connection:
        connection.execute(update(occurrences).values(reminders=2))
    open_now(rooms)
    assert every_row(rooms) == [("reminder", True), ("reminder", False)]
    with site.database.ledger() as connection:
        connection.execute(update(occurrences).values(state=OccurrenceState.SKIPPED, reason="none"))
    assert list(open_now(rooms)) == ["skipped"]


def test_a_day_that_is_closed_is_told_before_it_comes(site: Site, rooms: Rooms) -> None:
    planned(site, OccurrenceState.SKIPPED, reason="2026-04-17 is a holiday")
    with site.database.ledger() as connection:
        connection.execute(update(occurrences).values(at=site.clock.now + MINUTE))
    assert open_now(rooms)["skipped"].startswith("Nothing goes at 2026-04-17 07:30")


# -- the webhook's silence ------------------------------------------------------------------------


def sent(site: Site) -> int:
    campaign = filled(site, 3)
    work(site, Provider(lambda _addresses, number: Accepted(f"message-{number}")))
    assert site.status(campaign).accepted == 3
    return campaign


def heard(site: Site, at: datetime) -> None:
    with site.database.ledger() as connection:
        heartbeats.beat(connection, heartbeats.WEBHOOK, at, every=timedelta())


def test_silence_is_told_when_letters_went_and_nothing_came_back(site: Site, rooms: Rooms) -> None:
    sent(site)
    site.clock.now += timedelta(hours=1, minutes=59)
    assert open_now(rooms) == {}
    site.clock.now += MINUTE
    assert "no event has come back" in open_now(rooms)["webhook silent"]
    heard(site, site.clock.now)
    assert open_now(rooms) == {}
    site.clock.now += timedelta(days=6)
    assert open_now(rooms) == {}, "nobody expects events when no letter went since"


def test_letters_under_a_fence_are_waited_for_from_their_time_on(site: Site, rooms: Rooms) -> None:
    campaign = sent(site)
    planned_at = site.clock.now + timedelta(minutes=45)
    with site.database.ledger() as connection:
        fence = connection.execute(
            insert(fences)
            .values(
                campaign_id=campaign,
                slot=0,
                batch_id="batch-1",
                send_at=planned_at,
                state="spent",
                opened_at=site.clock.now,
                tries=0,
            )
            .returning(fences.c.id)
        ).scalar_one()
        connection.execute(update(attempts).values(fence_id=fence))
    heard(site, site.clock.now + timedelta(minutes=20))
    site.clock.now = planned_at + timedelta(hours=2) - MINUTE
    assert open_now(rooms) == {}
    site.clock.now += MINUTE
    assert list(open_now(rooms)) == ["webhook silent"]


def test_an_event_before_the_letters_says_nothing_of_them(site: Site, rooms: Rooms) -> None:
    heard(site, site.clock.now - 10 * MINUTE)
    sent(site)
    site.clock.now += timedelta(hours=2)
    assert list(open_now(rooms)) == ["webhook silent"]


def test_events_of_an_older_version_are_heard_too(site: Site, rooms: Rooms) -> None:
    sent(site)
    site.clock.now += timedelta(hours=2)
    row = {"occurred_at": site.clock.now, "received_at": site.clock.now, "settled": True, "detail": {}}
    with site.database.ledger() as connection:
        connection.execute(insert(events).values(dedupe_key="w:1", kind="open", **row))
    assert list(open_now(rooms)) == ["webhook silent"], "our own hits come without SendGrid"
    with site.database.ledger() as connection:
        connection.execute(insert(events).values(dedupe_key="sg:1", kind="delivered", **row))
    assert open_now(rooms) == {}


def test_health_and_the_notice_agree_on_the_webhook(site: Site, rooms: Rooms) -> None:
    sent(site)
    for _ in range(4):
        with site.database.reader() as connection:
            signs = {sign.name: sign.level for sign in health.signs_of(connection, rooms, site.clock.now)}
        assert (signs["webhook"] == "warning") == ("webhook silent" in open_now(rooms))
        site.clock.now += timedelta(minutes=50)
    assert "webhook silent" in open_now(rooms)
    heard(site, site.clock.now)
    with site.database.reader() as connection:
        signs = {sign.name: sign.level for sign in health.signs_of(connection, rooms, site.clock.now)}
    assert (signs["webhook"], open_now(rooms)) == ("ok", {})


# -- disk and complaints --------------------------------------------------------------------------


def test_a_disk_that_fills_up_is_told_and_flutters_not(
    site: Site, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    free = {"mb": 499}
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage(0, 0, free["mb"] * 1_000_000))
    assert "Less than 500 MB are free" in open_now(rooms)["disk low"]
    free["mb"] = 501
    assert list(open_now(rooms)) == ["disk low"]
    free["mb"] = 551
    assert open_now(rooms) == {}
    free["mb"] = 501
    assert open_now(rooms) == {}


@pytest.mark.parametrize(
    ("complained", "delivered", "lines"),
    [
        (1, 12, 0),  # one person of a few
        (2, 500, 0),  # 0.4 %, and still two people
        (3, 99, 0),  # too few letters to say
        (3, 40_000, 0),
        (39, 40_000, 0),
        (40, 40_000, 1),
        (119, 40_000, 1),
        (120, 40_000, 2),  # where Gmail begins to reject
        (3, 300, 2),
    ],
)
def test_the_complaint_line(site: Site, rooms: Rooms, complained: int, delivered: int, lines: int) -> None:
    campaign = sent(site)
    heard(site, site.clock.now)
    numbers = {"totals": {"complained": complained, "delivered": delivered}}
    with site.database.ledger() as connection:
        connection.execute(
            insert(campaign_counts).values(
                campaign_id=campaign, counted_at=site.clock.now, seconds=0.1, numbers=numbers
            )
        )
    open_now(rooms)
    assert every_row(rooms) == [("complaints", False)] * lines


# -- whose database -------------------------------------------------------------------------------


def test_a_copy_says_that_it_is_one_and_tells_nobody(site: Site, sandbox: SandboxServer) -> None:
    pause(site)
    configure(site, alerts={"email": OPERATOR})
    rooms = rooms_of(site)
    with site.database.ledger() as connection:
        connection.execute(identities.delete())
    alerts.tend(rooms, site.clock.now)
    assert set(open_now(rooms)) == {"paused", "not at home"}
    assert letters(sandbox) == []
