"""The list at a glance."""

from datetime import timedelta

from sqlalchemy import insert

from mailer.insight.health import list_health
from subscribers.tables import suppression
from tests.insight.world import World


def test_the_list_at_a_glance(world: World) -> None:
    year, lately = world.now - timedelta(days=365), world.now - timedelta(days=5)
    world.reader("ada", consents=year)
    world.reader("bo", created_at=lately)
    world.reader("cy", status="pending")
    world.reader("di", status="unsubscribed", unsubscribed_at=lately)
    world.reader("ed", status="unsubscribed", unsubscribed_at=year)
    world.reader("flo", consents=year)
    world.reader("erased", status="unsubscribed", email="", unsubscribed_at=lately)
    row = {"detail": "", "since": year, "source": "", "key_id": 1}
    world.connection.execute(
        insert(suppression),
        [
            {"key_hash": "hash-of-flo", "reason": "complaint", **row},
            {"key_hash": "of-nobody-here", "reason": "erased", **row},
        ],
    )
    assert list_health(world.connection, world.now).as_json() == {
        "mailable": 2,
        "measurable": 1,
        "pending": 1,
        "unsubscribed": 2,
        "suppressed": {"complaint": 1, "erased": 1},
        "joined_lately": 1,
        "left_lately": 1,
    }
