"""How an alert leaves: one letter at most, and a signed post that is tried a known number of times."""

import hashlib
import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select, update

from mailer.database import Database
from mailer.delivery import campaigns
from mailer.sandbox.server import SandboxServer
from mailer.service import alert_letter, alert_posts, alerts
from mailer.service.rooms import Rooms
from mailer.tables import notices
from subscribers import suppression
from subscribers.models import SuppressionReason
from tests.conftest import ROOT
from tests.delivery.conftest import Site
from tests.delivery.steps import filled
from tests.service.conftest import Receiver, configure, letters, rooms_of

MINUTE = timedelta(minutes=1)
OPERATOR = "operator@example.org"
SECRET = "a secret that only two know"


def pause(site: Site, reason: str = "SendGrid refused the key (401). Check it.") -> int:
    campaign = filled(site, 3)
    with site.database.ledger() as connection:
        campaigns.pause(connection, campaign, reason)
    return campaign


@pytest.fixture
def told(site: Site, sandbox: SandboxServer) -> Rooms:
    """The rooms of a site whose operator gets letters, with one campaign paused."""
    pause(site)
    configure(site, alerts={"email": OPERATOR})
    return rooms_of(site)


def marks(rooms: Rooms) -> list[Any]:
    with rooms.database.reader() as connection:
        return list(connection.execute(select(notices).order_by(notices.c.id)).all())


def test_one_letter_tells_it_once(told: Rooms, site: Site, sandbox: SandboxServer) -> None:
    for _ in range(3):
        alerts.tend(told, site.clock.now)
        site.clock.now += MINUTE
    (letter,) = letters(sandbox)
    assert letter.email == OPERATOR
    assert (
        letter.subject == "[Hematology Weekly] Campaign 1 (week-01) is paused: SendGrid refused the key (401)"
    )
    for body in (letter.text or "", letter.html or ""):
        assert "SendGrid refused the key (401). Check it." in " ".join(body.split())
        assert "mailer resume 1" in body.replace("&#39;", "'")
        assert "reader1@" not in body
    assert "X-Newsletter" not in str(letter.headers)


def test_what_comes_together_is_one_letter(told: Rooms, site: Site, sandbox: SandboxServer) -> None:
    configure(site, alerts={"disk_free_mb": 10**9})
    alerts.tend(rooms_of(site), site.clock.now)
    (letter,) = letters(sandbox)
    assert letter.subject == "[Hematology Weekly] 2 things need you"
    assert "disk low" in (letter.html or "")
    assert "paused" in (letter.html or "")


def test_clocks_that_tick_at_once_tell_once(site: Site, sandbox: SandboxServer, receiver: Receiver) -> None:
    pause(site)
    configure(
        site,
        alerts={"email": OPERATOR, "webhook": f"{receiver.url}/hook", "webhook_secret": SECRET},
    )
    start = threading.Barrier(4)

    def tend(_number: int) -> None:
        rooms = Rooms.of(site.settings, Database(site.settings.database_url), site.clock)
        start.wait()
        alerts.tend(rooms, site.clock.now)
        rooms.database.close()

    with ThreadPoolExecutor(4) as clocks:
        list(clocks.map(tend, range(4)))
    assert len(letters(sandbox)) == 1
    assert len(receiver.posts) == 1
    with site.database.reader() as connection:
        assert connection.execute(select(func.count()).select_from(notices)).scalar() == 1


def test_a_process_that_dies_with_the_letter_in_hand_never_sends_it_twice(
    told: Rooms, site: Site, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(alert_letter, "call_of", die)
        with pytest.raises(Killed):
            alerts.tend(told, site.clock.now)
    site.clock.now += timedelta(hours=1)
    alerts.tend(told, site.clock.now)
    assert letters(sandbox) == []
    assert [row.ended_at for row in marks(told)] == [None], "status tells it all the same"


def test_a_letter_whose_answer_was_lost_is_not_sent_again(
    told: Rooms, site: Site, sandbox: SandboxServer
) -> None:
    sandbox.faults.add("reset_after")
    for _ in range(3):
        alerts.tend(told, site.clock.now)
        site.clock.now += timedelta(hours=1)
    assert len(letters(sandbox)) == 1


def test_a_letter_that_was_refused_leaves_later(told: Rooms, site: Site, sandbox: SandboxServer) -> None:
    sandbox.faults.add("unauthorized")
    alerts.tend(told, site.clock.now)
    site.clock.now += MINUTE
    alerts.tend(told, site.clock.now)
    assert len(sandbox.mailbox.rows("SELECT id FROM call")) == 1, "a refused letter waits"
    site.clock.now += alerts.LETTER_PAUSE
    alerts.tend(told, site.clock.now)
    alerts.tend(told, site.clock.now)
    assert len(letters(sandbox)) == 1


def test_a_clock_that_was_ahead_does_not_silence_letters(
    told: Rooms, site: Site, sandbox: SandboxServer
) -> None:
    sandbox.faults.add("unauthorized")
    alerts.tend(told, site.clock.now + timedelta(days=3650))
    alerts.tend(told, site.clock.now)
    assert len(letters(sandbox)) == 1


def test_what_is_over_before_it_was_told_is_not_told(site: Site, sandbox: SandboxServer) -> None:
    campaign = pause(site)
    alerts.look(rooms_of(site), site.clock.now)
    with site.database.ledger() as connection:
        campaigns.cancel(connection, campaign, site.clock.now)
    configure(site, alerts={"email": OPERATOR})
    alerts.tend(rooms_of(site), site.clock.now)
    assert letters(sandbox) == []


def test_nobody_is_mailed_whom_this_site_may_not_mail(
    told: Rooms, site: Site, sandbox: SandboxServer
) -> None:
    configure(site, sending={"only_to": ("@ours.example.org",)})
    rooms = rooms_of(site)
    alerts.tend(rooms, site.clock.now)
    assert ["only_to" in problem.message for problem in alerts.problems(rooms)] == [True]
    configure(site, sending={"only_to": ()})
    with site.database.ledger() as connection:
        key_hash = suppression.key_hash(OPERATOR, site.suppression_key)
        suppression.suppress(
            connection, key_hash=key_hash, reason=SuppressionReason.COMPLAINT, now=site.clock.now
        )
    alerts.tend(rooms_of(site), site.clock.now)
    assert letters(sandbox) == []


# -- posts ----------------------------------------------------------------------------------------


@pytest.fixture
def hooked(site: Site, receiver: Receiver) -> Rooms:
    """The rooms of a site that posts, with one campaign paused."""
    pause(site)
    configure(site, alerts={"webhook": f"{receiver.url}/hook?of=weekly", "webhook_secret": SECRET})
    return rooms_of(site)


def test_a_post_is_signed_and_says_what_to_do(hooked: Rooms, site: Site, receiver: Receiver) -> None:
    for _ in range(3):
        alerts.tend(hooked, site.clock.now)
        site.clock.now += timedelta(hours=1)
    (post,) = receiver.posts
    assert post.path == "/hook?of=weekly"
    timestamp = post.headers["X-Newsletter-Timestamp"]
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + post.body, hashlib.sha256).hexdigest()
    assert post.headers["X-Newsletter-Signature"] == f"v1={expected}"
    document = orjson.loads(post.body)
    assert set(document) == {
        "id", "newsletter", "site", "kind", "about", "campaign", "said", "cure", "raised_at",
    }  # fmt: skip
    assert (document["kind"], document["about"], document["campaign"]) == ("paused", "campaign 1", 1)
    assert SECRET.encode() not in post.body


def test_a_receiver_that_follows_the_docs_knows_us(hooked: Rooms, site: Site, receiver: Receiver) -> None:
    code = (ROOT / "docs/alerts.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    code = code.replace("time.time()", str(site.clock.now.timestamp()))
    given: dict[str, Any] = {}
    exec(code, given)
    alerts.tend(hooked, site.clock.now)
    (post,) = receiver.posts
    assert given["is_ours"](post.headers, post.body, SECRET)
    assert not given["is_ours"](post.headers, post.body + b" ", SECRET)
    assert not given["is_ours"](post.headers, post.body, SECRET + "x")


def test_a_refused_post_comes_again_with_the_same_id_and_longer_pauses(
    hooked: Rooms, site: Site, receiver: Receiver
) -> None:
    receiver.answers = [500, 429, 302]
    minutes = []
    for minute in range(60):
        before = len(receiver.posts)
        alerts.tend(hooked, site.clock.now)
        minutes += [minute] * (len(receiver.posts) - before)
        site.clock.now += MINUTE
    assert minutes == [0, 1, 3, 7]
    assert {post.path for post in receiver.posts} == {"/hook?of=weekly"}, "a redirect is not followed"
    assert len({orjson.loads(post.body)["id"] for post in receiver.posts}) == 1


def test_a_dead_receiver_is_given_up(hooked: Rooms, site: Site, receiver: Receiver) -> None:
    receiver.answers = [500] * 100
    for _ in range(200):
        alerts.tend(hooked, site.clock.now)
        site.clock.now += timedelta(hours=2)
    assert len(receiver.posts) == alert_posts.TRIES


def test_two_processes_make_one_try(hooked: Rooms, site: Site, receiver: Receiver) -> None:
    alerts.look(hooked, site.clock.now)
    number = marks(hooked)[0].id
    assert alert_posts._claim_post(hooked, number, 0, site.clock.now)
    assert not alert_posts._claim_post(hooked, number, 0, site.clock.now)


def test_a_clock_that_was_ahead_does_not_silence_posts(hooked: Rooms, site: Site, receiver: Receiver) -> None:
    receiver.answers = [500]
    alerts.tend(hooked, site.clock.now + timedelta(days=3650))
    with site.database.ledger() as connection:
        connection.execute(update(notices).values(ended_at=None))
    alerts.tend(hooked, site.clock.now)
    assert len(receiver.posts) == 2


def test_the_same_trouble_later_has_another_id(hooked: Rooms, site: Site, receiver: Receiver) -> None:
    for _ in range(2):
        alerts.tend(hooked, site.clock.now)
        with site.database.ledger() as connection:
            campaigns.resume(connection, 1, site.clock.now)
        alerts.tend(hooked, site.clock.now)
        with site.database.ledger() as connection:
            campaigns.pause(connection, 1, "again")
        site.clock.now += MINUTE
    assert len({orjson.loads(post.body)["id"] for post in receiver.posts}) == 2


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"webhook_secret": ""}, "no secret to sign with"),
        ({"webhook": "http://hooks.example.com/x"}, "http:// is for this machine only"),
    ],
)
def test_a_webhook_that_cannot_be_trusted_is_refused(
    hooked: Rooms, site: Site, receiver: Receiver, keys: dict[str, str], said: str
) -> None:
    configure(site, alerts=keys)
    rooms = rooms_of(site)
    alerts.tend(rooms, site.clock.now)
    assert receiver.posts == []
    assert [said in problem.message for problem in alerts.problems(rooms)] == [True]
