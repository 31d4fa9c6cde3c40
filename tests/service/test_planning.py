"""A campaign for one time: what is refused, what is explained, when it is frozen, and what is too late."""

from datetime import UTC, datetime, timedelta

import pytest

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import campaigns, lateness, standing
from mailer.delivery.audience import Audience
from mailer.models import CampaignStatus
from mailer.service import composition, sending, stopping, ticking
from subscribers.errors import NewsletterError
from tests.delivery.steps import ledger, work
from tests.service.planned_site import PlannedSite

MINUTE = timedelta(minutes=1)
# Wednesday noon in Paris.
NOON = datetime(2026, 4, 8, 10, 0, tzinfo=UTC)


@pytest.fixture
def planned(database: Database, settings: Settings) -> PlannedSite:
    return PlannedSite(database, settings, NOON)


def test_a_planned_campaign_is_frozen_ahead_of_its_time_and_sent_once(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    assert planned.status(campaign).status == CampaignStatus.SCHEDULED
    assert planned.status(campaign).due == standing.Due(
        planned.at("2026-04-10 07:30"), "2026-04-10 07:30", "Europe/Paris", False
    )
    planned.move_to("2026-04-10 06:42")
    assert planned.tick() == []
    planned.move_to("2026-04-10 06:43")  # 45 minutes for its fences, 2 for the freeze
    assert planned.tick() == [campaign]
    assert planned.tick() == []
    assert planned.status(campaign).status == CampaignStatus.SENDING
    assert planned.states() == {"2026-04-10 07:30": "running"}
    planned.tick_until("2026-04-10 07:32", every=MINUTE)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)
    planned.tick()
    assert planned.states() == {"2026-04-10 07:30": "done"}
    assert len(planned.provider.taken) == len(set(planned.provider.taken)) == 3


def test_a_campaign_planned_too_near_for_fences_is_frozen_two_minutes_ahead(planned: PlannedSite) -> None:
    planned.move_to("2026-04-10 07:00")
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 07:27")
    assert planned.tick() == []
    planned.move_to("2026-04-10 07:28")
    assert planned.tick() == [campaign]
    assert work(planned.site, planned.provider) == 0, "its time has not come"
    planned.move_to("2026-04-10 07:30")
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


@pytest.mark.parametrize(
    ("at", "zone", "said"),
    [
        ("2026-04-08 12:00", None, "is past in Europe/Paris: it is 2026-04-08 12:00 there"),
        ("2026-04-08 18:00", "Asia/Tokyo", "is past in Asia/Tokyo: it is 2026-04-08 19:00 there"),
        ("soon", None, "no date and time"),
        ("2026-04-10 07:30", "Mars/Olympus", "no time zone"),
    ],
)
def test_a_time_that_cannot_come_is_refused(
    planned: PlannedSite, at: str, zone: str | None, said: str
) -> None:
    with pytest.raises(NewsletterError, match=said) as refusal:
        planned.plan(at, zone=zone)
    assert refusal.value.cure
    assert planned.every_status() == []
    assert planned.states() == {}


def test_gaps_and_repeated_hours_are_explained_before_anybody_agrees(planned: PlannedSite) -> None:
    gap = planned.when("2027-03-28 02:30")
    assert gap.at == datetime(2027, 3, 28, 1, 0, tzinfo=UTC)
    assert "2027-03-28 03:00 is taken" in gap.remarks[0]
    repeated = planned.when("2026-10-25 02:30")
    assert repeated.at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert "the first of the two" in repeated.remarks[0]
    assert planned.when("2026-04-10 07:30").remarks == ()


def test_a_time_outside_the_hours_for_sending_is_refused_with_the_next_open_one(planned: PlannedSite) -> None:
    planned.configure("schedule", weekdays=("mon", "tue", "wed", "thu"), hours="09:00-17:00")
    with pytest.raises(NewsletterError, match=r"\[schedule\] weekdays") as refusal:
        planned.plan("2026-04-10 07:30")
    assert '--at "2026-04-13 09:00"' in (refusal.value.cure or "")


def test_who_looked_before_a_campaign_was_made_joins_it_even_when_it_is_over(planned: PlannedSite) -> None:
    first, second = (composition.plan(planned.rooms, planned.issue(), Audience()) for _ in range(2))
    campaign = sending.start(planned.rooms, first)
    work(planned.site, planned.provider)
    assert planned.status(campaign).status == CampaignStatus.FINISHED
    assert sending.start(planned.rooms, second) == campaign
    assert planned.every_status() == ["finished"]


def test_a_cancelled_campaign_is_joined_by_nobody(planned: PlannedSite) -> None:
    first, second = (composition.plan(planned.rooms, planned.issue(), Audience()) for _ in range(2))
    stopping.cancel(planned.rooms, sending.start(planned.rooms, first))
    sending.start(planned.rooms, second)
    assert planned.every_status() == ["cancelled", "sending"]


def test_a_time_in_each_readers_own_zone_is_held_against_the_hours_as_a_civil_time(
    planned: PlannedSite,
) -> None:
    planned.set_zones("Asia/Tokyo", None, "America/New_York")
    planned.configure("schedule", weekdays=("fri",), hours="07:00-08:00")
    assert planned.when("2026-04-10 07:30", is_local=True).is_local
    with pytest.raises(NewsletterError, match=r"\[schedule\] hours") as refusal:
        planned.when("2026-04-10 08:30", is_local=True)
    assert '--at "2026-04-17 07:00"' in (refusal.value.cure or "")
    # Elsewhere than in the newsletter's zone it is another hour, and the civil time the same.
    assert planned.when("2026-04-10 07:30", zone="America/New_York", is_local=True).is_local


@pytest.mark.parametrize("seen_at", ["2026-04-09 12:00", "2026-04-10 06:50"])
def test_hours_that_close_a_planned_time_pause_its_campaign_before_it(
    planned: PlannedSite, seen_at: str
) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to(seen_at)
    if "06:50" in seen_at:
        assert planned.tick() == [campaign], "it is frozen before the hours are changed"
    planned.configure("schedule", holidays=("2026-04-10",))
    planned.tick()
    state = planned.status(campaign)
    assert state.status == CampaignStatus.PAUSED
    assert "2026-04-10 is one of [schedule] holidays" in (state.pause_reason or "")
    planned.tick_until("2026-04-10 12:00")
    assert planned.provider.taken == []
    planned.configure("schedule", holidays=())
    stopping.resume(planned.rooms, campaign)
    planned.tick_until("2026-04-10 12:30", every=MINUTE * 5)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_an_issue_has_one_campaign_however_often_it_is_planned(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    with pytest.raises(campaigns.UnfinishedCampaign):
        planned.plan("2026-04-11 07:30")
    with pytest.raises(NewsletterError, match="is scheduled, planned for 2026-04-10 07:30"):
        sending.go_on(planned.rooms, campaign)
    assert planned.states() == {"2026-04-10 07:30": "pending"}


def test_a_cancelled_plan_frees_the_issue_and_nothing_of_it_goes(planned: PlannedSite) -> None:
    first = planned.plan("2026-04-10 07:30")
    with planned.database.ledger() as connection:
        campaigns.cancel(connection, first, planned.clock.now)
    second = planned.plan("2026-04-11 07:30")
    planned.tick_until("2026-04-11 12:00")
    assert planned.every_status() == ["cancelled", "finished"]
    assert planned.states() == {"2026-04-10 07:30": "done", "2026-04-11 07:30": "done"}
    assert ledger(planned.site, second)[2] == 3


def test_a_paused_plan_waits_for_its_time_again(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    with planned.database.ledger() as connection:
        assert campaigns.pause(connection, campaign)
    planned.tick_until("2026-04-10 07:00")
    with planned.database.ledger() as connection:
        assert campaigns.resume(connection, campaign, planned.clock.now)
    assert planned.status(campaign).status == CampaignStatus.SCHEDULED
    planned.tick_until("2026-04-10 08:00")
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_what_cannot_be_made_is_paused_with_its_reason(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.configure("editions", maximum=0)
    planned.move_to("2026-04-10 07:00")
    assert planned.tick() == []
    state = planned.status(campaign)
    assert state.status == CampaignStatus.PAUSED
    assert "it could not be made: the readers' choices make 1 editions" in (state.pause_reason or "")
    assert planned.tick() == []
    assert planned.states() == {"2026-04-10 07:30": "pending"}
    planned.configure("editions", maximum=10)
    with planned.database.ledger() as connection:
        campaigns.resume(connection, campaign, planned.clock.now)
    assert planned.tick() == [campaign]


def test_a_freeze_that_was_broken_off_is_taken_up_and_one_under_way_is_left_alone(
    planned: PlannedSite,
) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 06:50")
    with planned.database.ledger() as connection:
        assert lateness.begin(connection, campaign, planned.clock.now)
        assert not lateness.begin(connection, campaign, planned.clock.now)
    planned.clock.now += MINUTE / 2
    ticking.tick(planned.rooms, planned.clock.now)
    assert planned.status(campaign).status == CampaignStatus.PREPARING, "whoever began is at it"
    planned.clock.now += MINUTE
    ticking.tick(planned.rooms, planned.clock.now)
    assert planned.status(campaign).status == CampaignStatus.SENDING


def test_a_sender_that_nobody_may_use_pauses_it(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.configure("newsletter", from_email="nobody")
    planned.move_to("2026-04-10 07:00")
    assert planned.tick() == []
    assert "no address that SendGrid takes" in (planned.status(campaign).pause_reason or "")


# -- lateness ---------------------------------------------------------------------------------------


def test_a_site_that_slept_for_less_than_latest_sends_once(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 13:30")
    assert planned.tick() == [campaign]
    work(planned.site, planned.provider)
    planned.tick_until("2026-04-11 07:30")
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_site_that_slept_longer_misses_it_until_a_person_decides(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 13:31")
    planned.tick_until("2026-04-12 07:30")
    assert ledger(planned.site, campaign) == ("missed", 0, 0, 0, 0, 0)
    assert planned.states() == {"2026-04-10 07:30": "missed"}
    with planned.database.ledger() as connection, pytest.raises(NewsletterError, match="missed its time"):
        campaigns.resume(connection, campaign, planned.clock.now)
    with planned.database.ledger() as connection:
        assert lateness.let_go(connection, campaign)
        assert not lateness.let_go(connection, campaign)
    planned.tick_until("2026-04-12 07:31", every=MINUTE)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_what_was_frozen_before_the_site_slept_is_missed_before_a_thread_claims_it(
    planned: PlannedSite,
) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 06:43")
    planned.tick()
    planned.move_to("2026-04-10 13:31")
    assert work(planned.site, planned.provider) == 0
    assert ledger(planned.site, campaign) == ("missed", 3, 0, 0, 0, 0)
    with planned.database.ledger() as connection:
        assert lateness.let_go(connection, campaign)
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_missed_campaign_can_be_ended(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-11 07:30")
    planned.tick()
    with planned.database.ledger() as connection:
        assert campaigns.cancel(connection, campaign, planned.clock.now)
    planned.tick_until("2026-04-12 07:30")
    assert ledger(planned.site, campaign) == ("cancelled", 0, 0, 0, 0, 0)
    assert planned.states() == {"2026-04-10 07:30": "done"}


def test_a_paused_plan_that_is_too_late_goes_only_when_a_person_says_so(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    stopping.pause(planned.rooms, campaign)
    planned.tick_until("2026-04-10 13:30")
    assert not stopping.is_late(planned.rooms, campaign)
    planned.move_to("2026-04-10 13:31")
    assert stopping.is_late(planned.rooms, campaign)
    with pytest.raises(NewsletterError, match="missed its time") as refusal:
        stopping.resume(planned.rooms, campaign)
    assert f"'mailer resume {campaign} --yes'" in (refusal.value.cure or "")
    assert stopping.resume(planned.rooms, campaign, even_late=True)["status"] == "scheduled"
    planned.tick_until("2026-04-10 13:33", every=MINUTE)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_frozen_plan_that_was_paused_until_it_is_too_late_is_asked_about_too(planned: PlannedSite) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 06:43")
    planned.tick()
    stopping.pause(planned.rooms, campaign)
    planned.tick_until("2026-04-10 13:31")
    with pytest.raises(NewsletterError, match="missed its time"):
        sending.go_on(planned.rooms, campaign)
    assert stopping.resume(planned.rooms, campaign, even_late=True)["status"] == "sending"
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_campaign_that_was_begun_and_paused_is_never_too_late(planned: PlannedSite) -> None:
    planned.configure("sending", chunk_size=1)
    planned.move_to("2026-04-10 07:00")
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 07:30")
    planned.tick()
    with pytest.raises(AssertionError, match="still at work"):
        work(planned.site, planned.provider, limit=1)
    stopping.pause(planned.rooms, campaign)
    planned.move_to("2026-04-11 07:30")
    assert stopping.resume(planned.rooms, campaign)["status"] == "sending"


def test_what_was_begun_before_the_site_slept_goes_on(planned: PlannedSite) -> None:
    planned.configure("sending", chunk_size=1)
    planned.move_to("2026-04-10 07:00")
    campaign = planned.plan("2026-04-10 07:30")
    planned.move_to("2026-04-10 07:30")
    planned.tick()
    with pytest.raises(AssertionError, match="still at work"):
        work(planned.site, planned.provider, limit=1)
    planned.move_to("2026-04-11 07:30")
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


# -- each reader's own zone -------------------------------------------------------------------------


def test_a_local_campaign_reaches_each_reader_at_their_own_time(planned: PlannedSite) -> None:
    planned.set_zones("Asia/Tokyo", None, "America/New_York")
    campaign = planned.plan("2026-04-10 07:30", is_local=True)
    assert planned.status(campaign).due == standing.Due(
        planned.at("2026-04-10 07:30", "Asia/Tokyo"), "2026-04-10 07:30", "Europe/Paris", True
    )
    taken = []
    for zone in ("Asia/Tokyo", "Europe/Paris", "America/New_York"):
        planned.clock.now = planned.at("2026-04-10 07:30", zone) - MINUTE
        planned.tick()
        work(planned.site, planned.provider)
        taken.append(len(planned.provider.taken))
        planned.clock.now += MINUTE
        work(planned.site, planned.provider)
        taken.append(len(planned.provider.taken))
    assert taken == [0, 1, 1, 2, 2, 3]
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_zone_whose_time_has_passed_is_sent_to_at_once_within_latest(planned: PlannedSite) -> None:
    planned.set_zones("Asia/Tokyo", None, "America/New_York")
    planned.move_to("2026-04-10 04:00")  # eleven in Tokyo
    when = planned.when("2026-04-10 07:30", is_local=True)
    assert when.at == planned.clock.now
    assert when.remarks == ("In Asia/Tokyo (1 reader): it is past there, and they get it at once.",)
    planned.plan("2026-04-10 07:30", is_local=True)
    planned.tick()
    work(planned.site, planned.provider)
    assert len(planned.provider.taken) == 1


def test_a_zone_whose_time_is_too_long_ago_is_named_with_its_people(planned: PlannedSite) -> None:
    planned.set_zones("Asia/Tokyo", "Asia/Tokyo", "America/New_York")
    planned.move_to("2026-04-10 07:00")
    with pytest.raises(NewsletterError, match=r"^in Asia/Tokyo \(2 readers\): .* more than 6h ago"):
        planned.plan("2026-04-10 07:30", is_local=True)


def test_a_zone_that_is_too_late_waits_for_a_person_and_the_others_go_on_time(planned: PlannedSite) -> None:
    planned.set_zones("Asia/Tokyo", None, "America/New_York")
    campaign = planned.plan("2026-04-10 07:30", is_local=True)
    planned.clock.now = planned.at("2026-04-10 07:28", "Asia/Tokyo")
    planned.tick()
    planned.move_to("2026-04-10 07:31")  # Tokyo's time is seven hours ago
    planned.tick()
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("sending", 2, 1, 0, 0, 0)
    planned.clock.now = planned.at("2026-04-10 07:31", "America/New_York")
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("missed", 1, 2, 0, 0, 0)
    assert stopping.is_late(planned.rooms, campaign)
    stopping.resume(planned.rooms, campaign, even_late=True)
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_zones_slept_through_after_another_one_went_are_not_sent_to_by_themselves(
    planned: PlannedSite,
) -> None:
    planned.set_zones("Asia/Tokyo", None, "America/New_York")
    campaign = planned.plan("2026-04-10 07:30", is_local=True)
    planned.clock.now = planned.at("2026-04-10 07:30", "Asia/Tokyo")
    planned.tick()
    work(planned.site, planned.provider)
    planned.move_to("2026-04-12 19:30")
    planned.tick()
    work(planned.site, planned.provider)
    assert ledger(planned.site, campaign) == ("missed", 2, 1, 0, 0, 0)


def test_the_first_zone_of_a_local_campaign_is_looked_for_when_a_process_starts(
    planned: PlannedSite, caplog: pytest.LogCaptureFixture
) -> None:
    planned.tick()
    campaign = planned.plan("2026-04-12 07:30", is_local=True)
    planned.set_zones("Asia/Tokyo", None, None)
    planned.tick()
    planned.start()
    due = planned.status(campaign).due
    assert due is not None
    assert due.at == planned.at("2026-04-12 07:30", "Asia/Tokyo")
    assert "begins at 2026-04-11 22:30 UTC now, it was at 2026-04-12 05:30" in caplog.text


def test_the_first_zone_of_a_local_campaign_is_looked_for_every_day(planned: PlannedSite) -> None:
    planned.tick()
    campaign = planned.plan("2026-04-12 07:30", is_local=True)
    planned.set_zones("Pacific/Auckland", None, None)
    planned.move_to("2026-04-09 12:01")
    planned.tick()
    due = planned.status(campaign).due
    assert due is not None
    assert due.at == planned.at("2026-04-12 07:30", "Pacific/Auckland")


# -- the zone data ----------------------------------------------------------------------------------


def test_new_zone_data_moves_what_is_pending_and_older_data_does_not(
    planned: PlannedSite, caplog: pytest.LogCaptureFixture
) -> None:
    campaign = planned.plan("2026-04-10 07:30")
    real = planned.occurrence("2026-04-10 07:30")
    for version, is_mended in (("9999a", False), ("2001a", True)):
        planned.resolved_otherwise("2026-04-10 07:30", real["at"] + timedelta(hours=1), version)
        planned.tick()
        due = planned.status(campaign).due
        assert due is not None
        assert (due.at == real["at"]) == is_mended
    assert "2026-04-10 07:30 in Europe/Paris is at 2026-04-10 05:30 UTC now" in caplog.text
    assert planned.occurrence("2026-04-10 07:30")["zone_data"] == real["zone_data"]
