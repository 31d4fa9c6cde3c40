"""The weekly rule: the next approved issue goes, once, and a person hears when there is none."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.config import Settings
from mailer.database import Database
from mailer.delivery import approval, campaigns
from mailer.delivery.audience import Audience
from mailer.models import CampaignStatus
from mailer.service import composition, scheduling, sending
from subscribers.errors import NewsletterError
from tests.delivery.steps import ledger, work
from tests.service.planned_site import PlannedSite

# Wednesday noon in Paris.
NOON = datetime(2026, 4, 8, 10, 0, tzinfo=UTC)
FRIDAY, NEXT_FRIDAY = "2026-04-10 07:30", "2026-04-17 07:30"
HOUR = timedelta(hours=1)


@pytest.fixture
def weekly(database: Database, settings: Settings) -> PlannedSite:
    site = PlannedSite(database, settings, NOON)
    site.configure("schedule", weekly="fri 07:30")
    site.start()
    return site


def test_the_next_occurrence_is_there_from_the_start(weekly: PlannedSite) -> None:
    weekly.start()
    assert weekly.states() == {FRIDAY: "pending"}
    assert weekly.occurrence(FRIDAY)["at"] == weekly.at(FRIDAY)
    [line] = scheduling.upcoming(weekly.rooms)["next"]
    assert (line["civil"], line["campaign"], line["issue"]) == (FRIDAY, None, None)


def test_an_approved_issue_takes_the_week_and_goes_once(weekly: PlannedSite) -> None:
    said = weekly.approve()
    assert said["due"]["civil"] == FRIDAY
    [line] = scheduling.upcoming(weekly.rooms)["next"]
    assert (line["issue"], line["campaign"], line["status"]) == ("week-01", said["campaign"], "scheduled")
    weekly.tick_until("2026-04-19 12:00")
    assert ledger(weekly.site, said["campaign"]) == ("finished", 0, 3, 0, 0, 0)
    assert weekly.states() == {FRIDAY: "done", NEXT_FRIDAY: "skipped", "2026-04-24 07:30": "pending"}
    assert len(weekly.provider.taken) == 3


def test_the_oldest_approved_issue_goes_first_and_the_others_wait_for_their_week(weekly: PlannedSite) -> None:
    second = weekly.add_issue("week-02")
    correction = weekly.add_issue("mended", kind="correction")
    weekly.tick()
    weekly.approve("mended")
    first = weekly.approve("week-01")
    assert weekly.approve("week-02")["campaign"] is None
    assert [each["issue"] for each in scheduling.upcoming(weekly.rooms)["approved"]] == ["week-02"]
    weekly.tick_until("2026-04-10 08:00")
    assert weekly.status(first["campaign"]).status == CampaignStatus.FINISHED
    assert weekly.letters(second) == 0
    weekly.tick_until("2026-04-17 08:00")
    assert weekly.letters(second) == 3
    assert weekly.letters(correction) == 0, "a correction is no number of the week"


def test_without_an_approved_issue_a_person_is_reminded_twice_and_the_week_is_skipped(
    weekly: PlannedSite,
) -> None:
    reminders = []
    for civil in ("2026-04-09 07:29", "2026-04-09 07:30", "2026-04-10 05:29", "2026-04-10 05:30"):
        weekly.move_to(civil)
        weekly.tick()
        reminders.append(weekly.occurrence(FRIDAY)["reminders"])
    assert reminders == [0, 1, 1, 2]
    weekly.move_to(FRIDAY)
    weekly.tick()
    assert weekly.occurrence(FRIDAY)["state"] == "skipped"
    assert weekly.occurrence(FRIDAY)["reason"] == "no issue was approved"
    assert weekly.approve()["due"]["civil"] == NEXT_FRIDAY, "what is approved later goes a week later"


def test_an_approval_at_the_last_minute_is_in_time_and_ends_the_reminders(weekly: PlannedSite) -> None:
    weekly.move_to("2026-04-10 07:29")
    weekly.tick()
    assert weekly.occurrence(FRIDAY)["reminders"] == 2
    campaign = weekly.approve()["campaign"]
    assert weekly.occurrence(FRIDAY)["reminders"] == 0
    weekly.tick_until("2026-04-10 07:40", every=timedelta(minutes=1))
    assert ledger(weekly.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_site_that_slept_through_the_hour_sends_what_was_approved_before_it(weekly: PlannedSite) -> None:
    campaign = weekly.approve()["campaign"]
    weekly.move_to("2026-04-10 12:00")
    assert weekly.tick() == [campaign]
    weekly.tick_until("2026-04-10 13:00")
    assert ledger(weekly.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_cancelled_week_is_given_to_no_other_issue(weekly: PlannedSite) -> None:
    weekly.add_issue("week-02")
    campaign = weekly.approve("week-01")["campaign"]
    weekly.approve("week-02")
    with weekly.database.ledger() as connection:
        campaigns.cancel(connection, campaign, weekly.clock.now)
    weekly.tick_until("2026-04-16 12:00")
    assert weekly.every_status() == ["cancelled", "scheduled"]
    assert weekly.states() == {FRIDAY: "done", NEXT_FRIDAY: "pending"}
    assert weekly.provider.taken == []


# -- what was approved ------------------------------------------------------------------------------


def test_a_newer_draft_stays_out_until_it_is_approved_too(weekly: PlannedSite) -> None:
    campaign = weekly.approve()["campaign"]
    weekly.add_issue("week-01", words="A loud week")
    state = weekly.status(campaign)
    assert (state.revision, state.newest_revision) == (1, 2)
    [line] = scheduling.upcoming(weekly.rooms)["next"]
    assert (line["revision"], line["newest_revision"]) == (1, 2)
    weekly.tick()
    assert weekly.status(campaign).revision == 1
    assert weekly.approve()["campaign"] == campaign
    assert weekly.status(campaign).revision == 2


def test_after_the_freeze_no_draft_is_taken_and_none_approved(weekly: PlannedSite) -> None:
    campaign = weekly.approve()["campaign"]
    weekly.move_to("2026-04-10 07:00")
    assert weekly.tick() == [campaign]
    with pytest.raises(NewsletterError, match="is to be sent with another text"):
        weekly.add_issue("week-01", words="A loud week")
    with pytest.raises(NewsletterError, match="was sent already"):
        weekly.approve()


@pytest.fixture
def template(weekly: PlannedSite) -> Path:
    """A template of the site's own, equal to the shipped one."""
    shipped = Path(__file__).parents[2] / "templates/email/edition.txt.j2"
    file = weekly.site.settings.path("templates/email/edition.txt.j2")
    file.parent.mkdir(parents=True)
    file.write_bytes(shipped.read_bytes())
    return file


def test_changed_templates_pause_it_until_it_is_approved_again(weekly: PlannedSite, template: Path) -> None:
    campaign = weekly.approve()["campaign"]
    template.write_text(template.read_text() + "\nBye.\n")
    weekly.move_to("2026-04-10 07:00")
    assert weekly.tick() == []
    state = weekly.status(campaign)
    assert state.status == CampaignStatus.PAUSED
    assert state.pause_reason == (
        "the e-mail templates were changed after the approval; 'mailer preview week-01' shows it, "
        "'mailer approve week-01' lets it go"
    )
    assert weekly.approve()["campaign"] == campaign
    weekly.tick_until("2026-04-10 08:00")
    assert ledger(weekly.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_resuming_does_not_stand_in_for_an_approval(weekly: PlannedSite, template: Path) -> None:
    campaign = weekly.approve()["campaign"]
    template.write_text("Bye.\n")
    weekly.tick()
    with weekly.database.ledger() as connection:
        campaigns.resume(connection, campaign, weekly.clock.now)
    weekly.tick_until("2026-04-10 12:00")
    assert weekly.status(campaign).status == CampaignStatus.PAUSED
    assert weekly.provider.taken == []


def test_a_file_of_the_site_that_equals_the_shipped_one_changes_no_hash(
    weekly: PlannedSite, template: Path
) -> None:
    own = approval.templates_hash(weekly.site.settings)
    template.unlink()
    assert approval.templates_hash(weekly.site.settings) == own


def test_the_hash_holds_what_templates_include_and_what_links_lead_to(
    weekly: PlannedSite, template: Path, tmp_path: Path
) -> None:
    settings = weekly.site.settings
    included = template.with_name("promo.inc")
    included.write_text("One")
    (tmp_path / "elsewhere").mkdir()
    linked = tmp_path / "elsewhere" / "part.txt.j2"
    linked.write_text("One")
    template.with_name("parts").symlink_to(tmp_path / "elsewhere")
    template.with_name("round").symlink_to(template.parent)  # leads back: no way without an end
    seen = {approval.templates_hash(settings)}
    for file in (included, linked):
        file.write_text("Two")
        seen.add(approval.templates_hash(settings))
    assert len(seen) == 3
    template.with_name(".edition.swp").write_text("an editor's own")
    assert approval.templates_hash(settings) in seen


def test_an_approval_can_be_required_of_everything(weekly: PlannedSite) -> None:
    weekly.configure("schedule", weekly="")
    weekly.start()
    weekly.configure("approval", required=True)
    planned = composition.plan(weekly.rooms, weekly.issue(), Audience())
    for door in (
        lambda: sending.start(weekly.rooms, planned),
        lambda: weekly.plan("2026-04-10 12:00"),
        lambda: sending.require_approved(weekly.rooms, weekly.issue()),
    ):
        with pytest.raises(NewsletterError, match="'week-01' is not approved") as refusal:
            door()
        assert "mailer approve week-01" in (refusal.value.cure or "")
    weekly.approve()
    weekly.add_issue("week-01", words="A loud week")
    with pytest.raises(NewsletterError, match="approved at revision 1, and revision 2 is newer"):
        weekly.plan("2026-04-10 12:00")
    weekly.approve()
    weekly.plan("2026-04-10 12:00")
    assert weekly.every_status() == ["scheduled"]


def test_a_plain_send_needs_no_approval(weekly: PlannedSite) -> None:
    weekly.plan("2026-04-09 12:00")
    weekly.tick_until("2026-04-09 13:00")
    assert weekly.every_status() == ["finished"]


# -- the configuration ------------------------------------------------------------------------------


def test_a_changed_rule_ends_the_old_one_and_takes_its_campaign_along(weekly: PlannedSite) -> None:
    campaign = weekly.approve()["campaign"]
    weekly.configure("schedule", weekly="thu 09:00")
    weekly.tick()
    assert weekly.states() == {FRIDAY: "pending"}, "a running process goes by what it read"
    weekly.start()
    assert weekly.states() == {FRIDAY: "skipped", "2026-04-09 09:00": "pending"}
    assert weekly.occurrence(FRIDAY)["reason"] == "[schedule] weekly was changed to thu 09:00 (Europe/Paris)"
    due = weekly.status(campaign).due
    assert due is not None
    assert due.civil == "2026-04-09 09:00"
    weekly.tick_until("2026-04-12 12:00")
    assert ledger(weekly.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_rule_that_is_taken_away_pauses_what_waited_for_it(weekly: PlannedSite) -> None:
    campaign = weekly.approve()["campaign"]
    weekly.configure("schedule", weekly="")
    weekly.start()
    weekly.tick_until("2026-04-12 12:00")
    state = weekly.status(campaign)
    assert state.status == CampaignStatus.PAUSED
    assert "[schedule] weekly was ended" in (state.pause_reason or "")
    assert weekly.states() == {FRIDAY: "skipped"}


def test_a_closed_day_moves_the_week_to_the_next_opening_and_says_so(weekly: PlannedSite) -> None:
    weekly.configure(
        "schedule", weekdays=("mon", "thu", "fri"), holidays=("2026-04-10",), hours="07:00-18:00"
    )
    campaign = weekly.approve()["campaign"]
    weekly.tick()
    occurrence = weekly.occurrence(FRIDAY)
    assert occurrence["at"] == weekly.at("2026-04-13 07:00")
    assert occurrence["reason"] == (
        "2026-04-10 is one of [schedule] holidays: it goes at the next opening, 2026-04-13 07:00"
    )
    weekly.tick_until("2026-04-13 06:00")
    assert weekly.provider.taken == []
    weekly.tick_until("2026-04-13 08:00")
    assert ledger(weekly.site, campaign) == ("finished", 0, 3, 0, 0, 0)


def test_a_week_without_an_open_hour_is_skipped_and_its_issue_goes_in_the_next(weekly: PlannedSite) -> None:
    campaign = weekly.approve()["campaign"]
    days = (datetime(2026, 4, 10, tzinfo=UTC) + timedelta(days=n) for n in range(8))
    weekly.configure("schedule", holidays=tuple(f"{day:%Y-%m-%d}" for day in days))
    weekly.tick_until("2026-04-16 12:00")
    assert weekly.states() == {FRIDAY: "skipped", NEXT_FRIDAY: "pending"}
    due = weekly.status(campaign).due
    assert due is not None
    assert due.civil == NEXT_FRIDAY
    weekly.tick_until("2026-04-18 01:00")
    assert ledger(weekly.site, campaign) == ("finished", 0, 3, 0, 0, 0)


@pytest.mark.parametrize(
    ("start", "sunday", "goes", "remark"),
    [
        ("2027-03-26 12:00", "2027-03-28 02:30", "2027-03-28 03:00", "does not exist"),
        ("2026-10-23 12:00", "2026-10-25 02:30", "2026-10-25 02:30", "comes twice"),
    ],
)
def test_the_hour_that_clocks_change_in_is_one_occurrence_and_one_campaign(
    weekly: PlannedSite, start: str, sunday: str, goes: str, remark: str
) -> None:
    weekly.move_to(start)
    weekly.configure("schedule", weekly="sun 02:30")
    weekly.start()
    campaign = weekly.approve()["campaign"]
    assert weekly.occurrence(sunday)["at"] == weekly.at(goes)
    assert remark in weekly.occurrence(sunday)["reason"]
    before = weekly.at(goes) - HOUR
    weekly.clock.now = before
    while weekly.clock.now < before + 4 * HOUR:
        weekly.clock.now += HOUR / 4
        weekly.tick()
        work(weekly.site, weekly.provider)
    assert weekly.states()[sunday] == "done"
    assert ledger(weekly.site, campaign) == ("finished", 0, 3, 0, 0, 0)
    assert len(weekly.every_status()) == 1


def test_a_site_that_wakes_up_just_after_a_weekly_time_sends_that_week(weekly: PlannedSite) -> None:
    slugs = ("week-01", "week-02", "week-03")
    for slug in slugs[1:]:
        weekly.add_issue(slug)
    for slug in slugs:
        weekly.approve(slug)
    weekly.tick_until("2026-04-10 08:00", every=timedelta(minutes=10))
    weekly.tick()
    weekly.move_to("2026-04-24 07:35")
    weekly.tick_until("2026-04-24 07:45", every=timedelta(minutes=1))
    weekly.tick()
    assert weekly.states() == {
        FRIDAY: "done",
        NEXT_FRIDAY: "missed",
        "2026-04-24 07:30": "done",
        "2026-05-01 07:30": "pending",
    }
    assert [weekly.letters(weekly.issue(slug)) for slug in slugs] == [3, 0, 3]


def test_weeks_that_nobody_was_awake_for_are_told_and_are_few(weekly: PlannedSite) -> None:
    weekly.move_to("2026-04-26 12:00")
    weekly.tick()
    assert weekly.states() == {
        FRIDAY: "skipped",
        NEXT_FRIDAY: "skipped",
        "2026-04-24 07:30": "skipped",
        "2026-05-01 07:30": "pending",
    }
    weekly.move_to("2036-04-26 12:00")
    weekly.tick()
    assert len(weekly.states()) == 4 + 4 + 1
