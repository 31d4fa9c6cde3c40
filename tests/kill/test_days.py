"""kill -9 at every point on every kind of bad day, judged by the provider's own log.

Few long campaigns: on each day some misbehaviours come in turn. Under each of them a process dies at
every point of a call, so that the first call it makes meets it; and once a day at every point before
the first call and after the last.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from subscribers.failpoints import Point
from tests.kill.campaign import CALLING, TURNS
from tests.kill.days import BAD_DAYS, BadDay, Lived, live
from tests.kill.fenced import CANCELLING, OPENING, PLANNING

DAYS_AT_ONCE = 2


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Lived]]]:
    """Every day once, two at the same time; a test waits for the one it is about."""
    root = tmp_path_factory.mktemp("days")
    with ThreadPoolExecutor(DAYS_AT_ONCE) as pool:
        yield {day.name: pool.submit(live, root / day.name, day) for day in BAD_DAYS}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(params=BAD_DAYS, ids=lambda day: day.name)
def day(request: pytest.FixtureRequest) -> BadDay:
    found = request.param
    assert isinstance(found, BadDay)
    return found


@pytest.fixture
def lived(day: BadDay, days: dict[str, Future[Lived]]) -> Lived:
    return days[day.name].result()


def test_nothing_is_lost_and_nothing_is_doubled_and_every_doubt_is_shown(lived: Lived) -> None:
    for verdict in (lived.before_events, lived.after_events, lived.decided):
        assert (verdict.lost, verdict.doubled, verdict.astray) == (0, 0, 0)
    assert lived.before_events.held > 0  # some died with a call in the air: that is shown


def test_events_end_every_doubt_about_what_went_and_a_person_ends_the_rest(lived: Lived) -> None:
    after = lived.after_events
    assert after.held == after.wanted - after.arrived - after.rejected
    assert lived.decided.held == 0


def test_a_process_has_died_at_every_point(lived: Lived) -> None:
    # Those of the calendar and of fences have a campaign of their own.
    assert set(lived.deaths) == set(Point) - {*PLANNING, *OPENING, *CANCELLING}


def test_a_process_has_died_at_every_point_of_a_call_under_every_misbehaviour(
    day: BadDay, lived: Lived
) -> None:
    kinds = {fault.kind for fault in day.faults}
    assert kinds <= lived.met
    assert {(point, kind) for point in (*CALLING, *TURNS) for kind in kinds} <= lived.pairs
