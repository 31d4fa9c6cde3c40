"""From when a chunk may be claimed: graces, planned times, each reader's own time, hours, wrong clocks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from mailer.delivery import freeze
from mailer.delivery.owners import new_owner
from mailer.delivery.send import Step, Worked, run_once
from mailer.tables import campaigns, chunks, deliveries, identities, occurrences, schedules
from tests.delivery.conftest import Site
from tests.delivery.fake import Provider
from tests.delivery.steps import ledger, work


def with_sending(site: Site, **values: Any) -> None:
    sending = site.settings.sending.model_copy(update=values)
    site.settings = site.settings.model_copy(update={"sending": sending})


def planned(site: Site, civil: str, *, is_local: bool = False, ahead: timedelta = timedelta(0)) -> int:
    """A campaign frozen for a civil time of Paris, planned so long before now."""
    at = datetime.fromisoformat(civil).replace(tzinfo=site.settings.zone).astimezone(UTC)
    campaign_id = site.create()
    with site.database.ledger() as connection:
        schedule_id = connection.execute(
            insert(schedules)
            .values(
                kind="once",
                rule=civil,
                zone="Europe/Paris",
                is_local=is_local,
                created_by="",
                created_at=site.clock.now,
            )
            .returning(schedules.c.id)
        ).scalar_one()
        occurrence_id = connection.execute(
            insert(occurrences)
            .values(
                schedule_id=schedule_id, civil=civil, at=at, zone_data="2026a", state="running", reminders=0
            )
            .returning(occurrences.c.id)
        ).scalar_one()
        connection.execute(
            update(campaigns)
            .where(campaigns.c.id == campaign_id)
            .values(occurrence_id=occurrence_id, created_at=site.clock.now - ahead)
        )
    assert freeze.freeze(
        site.database, campaign_id, settings=site.settings, leaves=site.leaves, clock=site.clock
    )
    return campaign_id


def idle(site: Site, provider: Provider) -> Step:
    """Run once, which must find nothing to do."""
    step = run_once(site.send_by(provider), new_owner())
    assert step.worked is Worked.IDLE
    return step


def test_nothing_goes_before_the_grace_has_ended(site: Site) -> None:
    with_sending(site, grace="5m")
    site.add_many(3)
    campaign_id = site.freeze()
    provider = Provider()
    assert idle(site, provider).wake_at == site.clock.now + timedelta(minutes=5)
    site.clock.now += timedelta(minutes=5)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 3)


def test_a_campaign_planned_a_little_ahead_goes_at_its_time(site: Site) -> None:
    site.add_many(3)
    campaign_id = planned(site, "2026-04-10 07:40")  # 05:40 UTC, ten minutes ahead
    provider = Provider()
    assert idle(site, provider).wake_at == datetime(2026, 4, 10, 5, 40, tzinfo=UTC)
    site.clock.now += timedelta(minutes=10)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 3)


def test_everyone_gets_it_at_this_time_of_their_own_zone(site: Site) -> None:
    with_sending(site, chunk_size=2)
    people = {
        "Europe/Paris": site.add_many(3, timezone="Europe/Paris"),
        "Asia/Kathmandu": site.add_many(3, ("car-t",), timezone="Asia/Kathmandu"),
        None: site.add_many(2, ("car-t",)),
        "no such zone": site.add_many(1, timezone="no such zone"),
        "America/New_York": site.add_many(1, timezone="America/New_York"),
    }
    campaign_id = planned(site, "2026-04-10 08:30", is_local=True)
    paris, kathmandu, new_york = (
        datetime(2026, 4, 10, hour, minute, tzinfo=UTC) for hour, minute in ((6, 30), (2, 45), (12, 30))
    )
    wanted = {
        "Europe/Paris": paris,
        None: paris,
        "no such zone": paris,
        "Asia/Kathmandu": kathmandu,
        "America/New_York": new_york,
    }
    with site.database.reader() as connection:
        rows = connection.execute(
            select(deliveries.c.subscriber_id, chunks.c.not_before).join(
                chunks, chunks.c.id == deliveries.c.chunk_id
            )
        )
        found = {row.subscriber_id: row.not_before for row in rows}
        sizes = connection.execute(
            select(chunks.c.recipients, func.count(), func.count(deliveries.c.edition_id.distinct()))
            .join(deliveries, deliveries.c.chunk_id == chunks.c.id)
            .group_by(chunks.c.id, chunks.c.recipients)
        ).all()
    assert found == {person: wanted[zone] for zone, ids in people.items() for person in ids}
    assert all(size == letters <= 2 and several == 1 for size, letters, several in sizes)
    provider = Provider()
    work(site, provider)
    assert len(provider.taken) == 3  # in Kathmandu the time is over: at once
    site.clock.now = paris
    work(site, provider)
    assert len(provider.taken) == 9
    assert idle(site, provider).wake_at == new_york
    site.clock.now = new_york
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 10)


@pytest.mark.parametrize("is_local", [False, True])
def test_outside_of_the_hours_goes_only_what_was_planned_for_readers_own_time(
    site: Site, is_local: bool
) -> None:
    schedule = site.settings.schedule.model_copy(update={"hours": "09:00-20:00"})
    site.settings = site.settings.model_copy(update={"schedule": schedule})
    site.add_many(2)
    if is_local:
        planned(site, "2026-04-10 07:00", is_local=True)
    else:
        site.freeze()
    provider = Provider()
    if not is_local:
        assert idle(site, provider).wake_at == datetime(2026, 4, 10, 7, 0, tzinfo=UTC)
        site.clock.now = datetime(2026, 4, 10, 7, 0, tzinfo=UTC)
    work(site, provider)
    assert len(provider.taken) == 2


def test_a_database_that_is_not_this_sites_claims_nothing(site: Site) -> None:
    site.add_many(2)
    site.freeze()
    provider = Provider()
    sending = site.send_by(provider, instance=lambda: "mine")
    assert run_once(sending, "a").worked is Worked.IDLE
    with site.database.ledger() as connection:
        connection.execute(delete(identities))
        connection.execute(insert(identities).values(id=1, instance="mine", adopted_at=site.clock.now))
    assert run_once(sending, "a").worked is Worked.CALLED


@pytest.mark.parametrize("years", [1, 10])
def test_a_clock_that_was_far_ahead_leaves_no_silence_behind(site: Site, years: int) -> None:
    """Grace, lease and hold-back that it set all end within the longest that this program ever waits."""
    with_sending(site, grace="5m", chunk_size=2)
    site.add_many(6)
    right = site.clock.now
    site.clock.now += timedelta(days=365 * years)
    campaign_id = site.freeze()
    with site.database.ledger() as connection:
        connection.execute(
            update(chunks)
            .where(chunks.c.id == 1)
            .values(
                state="claimed",
                owner="elsewhere:1:2/3/a/b",
                lease_until=site.clock.now + timedelta(seconds=180),
            )
        )
        connection.execute(update(campaigns).values(not_before=site.clock.now + timedelta(seconds=900)))
    site.clock.now = right
    provider = Provider()
    work(site, provider)
    assert provider.calls == []  # a grace is a grace: it begins anew
    site.clock.now += timedelta(minutes=5)
    work(site, provider)
    assert ledger(site, campaign_id)[:3] == ("finished", 0, 6)
    assert sorted(provider.taken) == sorted(f"reader{number}@example.org" for number in range(1, 7))


def test_a_clock_that_jumps_back_leaves_a_planned_time_alone(site: Site) -> None:
    site.add_many(2)
    planned(site, "2026-04-10 07:40")
    site.clock.now -= timedelta(days=365)
    provider = Provider()
    work(site, provider)
    assert provider.calls == []
    site.clock.now += timedelta(days=365, minutes=10)
    work(site, provider)
    assert len(provider.taken) == 2
