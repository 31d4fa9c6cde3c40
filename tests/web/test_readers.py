"""The doors that letters open for one reader."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from mailer.editions.links import TestTarget, TestTokens
from mailer.links import Purpose
from mailer.service.rooms import Rooms
from mailer.tables import deliveries, editions, subscribers
from subscribers import choices, roster, suppression
from subscribers.models import ChosenBy, SuppressionReason
from subscribers.tables import consent
from tests.tracking.sample import BROWSER, NONCE, Sample, add_reader

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}"


def path(sample: Sample, purpose: Purpose, name: str = "ada") -> str:
    door = {Purpose.READ: "v", Purpose.LEAVE: "u", Purpose.PREFS: "p"}[purpose]
    return f"/{door}/{sample.token(purpose, name)}"


def left_events(sample: Sample) -> list[object]:
    return [each["delivery_id"] for each in sample.events() if each["kind"] == "unsubscribe"]


# -- the letter in the browser --------------------------------------------------------------------


def test_the_letter_is_shown_as_its_reader_got_it(client: TestClient, sample: Sample) -> None:
    answer = client.get(path(sample, Purpose.READ))
    assert answer.status_code == 200
    assert NONCE not in answer.text
    for purpose in (Purpose.TRACK, Purpose.LEAVE, Purpose.PREFS):
        assert sample.token(purpose, "ada") in answer.text
    assert "Off-the-shelf CAR-T" in answer.text


def test_the_letter_stands_in_a_sandbox_that_keeps_nothing(client: TestClient, sample: Sample) -> None:
    headers = client.get(path(sample, Purpose.READ)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    assert headers["cache-control"] == "no-store, private"
    assert "noindex" in headers["x-robots-tag"]
    assert headers["referrer-policy"] == "no-referrer"


def test_the_letter_of_somebody_unmeasured_has_the_campaigns_token(
    client: TestClient, sample: Sample
) -> None:
    shown = client.get(path(sample, Purpose.READ, "cleo")).text
    assert sample.token(Purpose.TRACK, "cleo") not in shown
    assert sample.tokens.sign(Purpose.TRACK_CAMPAIGN, sample.campaign) in shown


def test_a_hostile_name_reaches_the_letter_literally(client: TestClient, sample: Sample) -> None:
    with sample.database.ledger() as connection:
        add_reader(connection, sample, "mallory", True, reader_name=HOSTILE)
        html = "<p>Dear [[" + NONCE + ":n]]</p>"
        connection.execute(update(editions).values(html=html))
    shown = client.get(path(sample, Purpose.READ, "mallory")).text
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "{{ 7*7 }}" in shown


@pytest.mark.parametrize("purpose", [Purpose.READ, Purpose.LEAVE, Purpose.PREFS])
def test_one_purpose_opens_no_other_door(client: TestClient, sample: Sample, purpose: Purpose) -> None:
    door = path(sample, purpose)[:3]
    for other in set(Purpose) - {purpose}:
        assert client.get(door + sample.token(other, "ada")).status_code == 404


def test_an_erased_readers_links_open_nothing_and_say_nothing(client: TestClient, sample: Sample) -> None:
    with sample.database.ledger() as connection:
        roster.erase(connection, sample.readers["ada"], now=sample.now)
    unknown = client.get("/v/" + "x" * 24)
    for purpose in (Purpose.READ, Purpose.LEAVE, Purpose.PREFS):
        answer = client.get(path(sample, purpose))
        assert (answer.status_code, answer.text) == (404, unknown.text)
    assert client.post(path(sample, Purpose.LEAVE)).status_code == 200


# -- leaving --------------------------------------------------------------------------------------


def test_looking_at_the_way_out_leaves_nobody_out(client: TestClient, sample: Sample) -> None:
    answer = client.get(path(sample, Purpose.LEAVE))
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert "ada@example.com" not in answer.text
    assert "a•••@e•••.com" in answer.text
    assert sample.reader_row("ada")["status"] == "active"


BOUNDARY = "----WebKitFormBoundary7MA4YWxk"
PART = 'Content-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click'
MULTIPART = f"--{BOUNDARY}\r\n{PART}\r\n--{BOUNDARY}--\r\n"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (MULTIPART, f"multipart/form-data; boundary={BOUNDARY}"),
        (MULTIPART, "multipart/form-data"),
        ("List-Unsubscribe=One-Click", "text/plain"),
        ("List-Unsubscribe=One-Click", ""),
        ("", ""),
        ("\x00\xff broken", "application/json"),
    ],
    ids=["form", "multipart", "multipart without boundary", "text", "no type", "empty", "broken"],
)
def test_one_click_works_in_any_encoding_without_a_redirect(
    client: TestClient, sample: Sample, body: str, kind: str
) -> None:
    answer = client.post(path(sample, Purpose.LEAVE), content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert sample.reader_row("ada")["status"] == "unsubscribed"
    assert left_events(sample) == [sample.letters["ada"]]


def test_leaving_twice_is_leaving_once(client: TestClient, sample: Sample) -> None:
    for _ in range(3):
        assert client.post(path(sample, Purpose.LEAVE), data={"do": "leave"}).status_code == 200
    assert left_events(sample) == [sample.letters["ada"]]
    with sample.database.reader() as connection:
        query = select(consent).where(
            consent.c.subscriber_id == sample.readers["ada"], consent.c.action == "withdrawn"
        )
        assert len(connection.execute(query).all()) == 1


def test_a_one_click_of_nobody_is_answered_like_any_other(client: TestClient, sample: Sample) -> None:
    body = {"List-Unsubscribe": "One-Click"}
    ours, strange = (
        client.post(path(sample, Purpose.LEAVE), data=body),
        client.post("/u/" + "x" * 24, data=body),
    )
    assert (ours.status_code, ours.content) == (strange.status_code, strange.content)
    assert ours.headers.items() == strange.headers.items()


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "delete", "patch"])
def test_only_a_post_leaves(client: TestClient, sample: Sample, method: str) -> None:
    answer = client.request(method, path(sample, Purpose.LEAVE))
    assert answer.status_code in (200, 405)
    assert sample.reader_row("ada")["status"] == "active"


def test_a_slash_too_many_does_not_redirect(client: TestClient, sample: Sample) -> None:
    assert client.post(path(sample, Purpose.LEAVE) + "/", data={"x": "y"}).status_code == 404


# -- choices --------------------------------------------------------------------------------------


def test_the_choices_page_shows_what_is_saved_and_masks_the_address(
    client: TestClient, sample: Sample
) -> None:
    shown = client.get(path(sample, Purpose.PREFS)).text
    assert 'value="all" checked' in shown
    assert "ada@example.com" not in shown
    assert "a•••@e•••.com" in shown
    for topic in sample.settings.topics.values():
        assert topic.name in shown


def test_topics_are_saved_as_the_readers_own_and_shown_again(client: TestClient, sample: Sample) -> None:
    place = path(sample, Purpose.PREFS)
    body = urlencode([("do", "topics"), ("which", "some"), ("topic", "car-t"), ("topic", "myeloma")])
    answer = client.post(place, content=body)
    assert answer.status_code == 303
    assert answer.headers["location"] == "?saved=topics"
    with sample.database.reader() as connection:
        assert choices.of(connection, sample.readers["ada"]) == frozenset(("car-t", "myeloma"))
    assert sample.reader_row("ada")["chose_at"] == sample.now
    shown = client.get(place + "?saved=topics").text
    assert "Your topics are saved." in shown
    assert 'value="car-t" checked' in shown
    assert 'value="immunology" checked' not in shown


def test_the_whole_issue_can_be_chosen_again(client: TestClient, sample: Sample) -> None:
    place = path(sample, Purpose.PREFS)
    client.post(place, data={"do": "topics", "which": "some", "topic": "car-t"})
    client.post(place, data={"do": "topics", "which": "all", "topic": "car-t"})
    with sample.database.reader() as connection:
        assert choices.of(connection, sample.readers["ada"]) is None


@pytest.mark.parametrize(
    "form",
    [
        {"do": "topics", "which": "some"},
        {"do": "topics"},
        {"do": "topics", "which": "some", "topic": "no-such-topic"},
        {"do": "pause", "weeks": "100000000"},
        {"do": "pause", "weeks": "-1"},
        {"do": "pause"},
        {"do": "erase"},
        {},
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing_and_says_so(
    client: TestClient, sample: Sample, form: dict[str, str]
) -> None:
    before = sample.reader_row("ada")
    answer = client.post(path(sample, Purpose.PREFS), data=form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert sample.reader_row("ada") == before


def test_a_pause_is_set_shown_and_ended(client: TestClient, sample: Sample) -> None:
    place = path(sample, Purpose.PREFS)
    client.post(place, data={"do": "pause", "weeks": "4"})
    assert sample.reader_row("ada")["paused_until"] == sample.now + timedelta(weeks=4)
    assert "You get nothing until May 8, 2026" in client.get(place).text
    client.post(place, data={"do": "pause", "weeks": "0"})
    assert sample.reader_row("ada")["paused_until"] is None


def test_measuring_is_agreed_to_and_withdrawn_with_the_words_that_were_read(
    client: TestClient, sample: Sample
) -> None:
    place = path(sample, Purpose.PREFS, "cleo")
    headers = {"User-Agent": BROWSER + " Secret/1"}
    client.post(place, data={"do": "measuring", "measure": "yes"}, headers=headers)
    assert sample.reader_row("cleo")["track_consent"] is True
    client.post(place, data={"do": "measuring", "measure": "no"}, headers=headers)
    assert sample.reader_row("cleo")["track_consent"] is False
    with sample.database.reader() as connection:
        query = (
            select(consent.c.action, consent.c.wording, consent.c.wording_version, consent.c.agent)
            .where(consent.c.subscriber_id == sample.readers["cleo"], consent.c.purpose == "track")
            .order_by(consent.c.id)
        )
        given, withdrawn = connection.execute(query).all()
    assert (given.action, withdrawn.action) == ("given", "withdrawn")
    assert given.wording.startswith("Count my own opens and clicks")
    assert (given.wording_version, given.agent) == ("1", "Chrome")


def test_leaving_from_the_choices_page_counts_for_the_letter(client: TestClient, sample: Sample) -> None:
    place = path(sample, Purpose.PREFS)
    assert client.post(place, data={"do": "leave"}).status_code == 303
    assert sample.reader_row("ada")["status"] == "unsubscribed"
    assert left_events(sample) == [sample.letters["ada"]]
    shown = client.get(place).text
    assert "You get no letters from us" in shown
    assert "Save topics" not in shown


# -- coming back ----------------------------------------------------------------------------------


def consents(sample: Sample, name: str) -> list[tuple[str, str, str, str, str | None]]:
    with sample.database.reader() as connection:
        return [
            (each.action, each.wording, each.wording_version, each.source, each.agent)
            for each in connection.execute(
                select(consent)
                .where(consent.c.subscriber_id == sample.readers[name], consent.c.purpose == "receive")
                .order_by(consent.c.id)
            )
        ][1:]


def suppress(sample: Sample, name: str) -> None:
    with sample.database.ledger() as connection:
        suppression.suppress(
            connection,
            key_hash=str(sample.reader_row(name)["key_hash"]),
            reason=SuppressionReason.COMPLAINT,
            now=sample.now,
        )


@pytest.mark.parametrize("purpose", [Purpose.LEAVE, Purpose.PREFS])
def test_who_left_comes_back_by_a_button_with_topics_as_they_were(
    client: TestClient, sample: Sample, purpose: Purpose
) -> None:
    place = path(sample, purpose)
    with sample.database.ledger() as connection:
        choices.set_choices(connection, sample.readers["ada"], ["car-t"], now=sample.now, by=ChosenBy.READER)
    client.post(path(sample, Purpose.LEAVE), data={"do": "leave"})
    assert "Send me the newsletter again</button>" in client.get(place).text
    answer = client.post(place, data={"do": "return"}, headers={"User-Agent": BROWSER})
    assert (answer.status_code, answer.headers["location"]) == (303, "?saved=return")
    assert "set-cookie" not in answer.headers
    assert "Welcome back" in client.get(place + "?saved=return").text
    reader = sample.reader_row("ada")
    assert (reader["status"], reader["unsubscribed_at"]) == ("active", None)
    with sample.database.reader() as connection:
        assert choices.of(connection, sample.readers["ada"]) == frozenset(("car-t",))
    source = {Purpose.LEAVE: "leave page", Purpose.PREFS: "preferences page"}[purpose]
    assert consents(sample, "ada")[1:] == [("given", "Send me the newsletter again", "1", source, "Chrome")]


def test_leaving_offers_at_once_to_undo_it(client: TestClient, sample: Sample) -> None:
    place = path(sample, Purpose.LEAVE)
    shown = client.post(place, data={"do": "leave"}).text
    assert "You are unsubscribed" in shown
    assert 'name="do" value="return"' in shown
    client.post(place, data={"do": "return"})
    assert sample.reader_row("ada")["status"] == "active"
    assert "Unsubscribe from" in client.get(place).text


def test_a_stranger_who_leaves_is_offered_no_way_back(client: TestClient) -> None:
    shown = client.post("/u/" + "x" * 24, data={"do": "leave"}).text
    assert "You are unsubscribed" in shown
    assert "<form" not in shown
    assert client.post("/u/" + "x" * 24, data={"do": "return"}).status_code == 404


@pytest.mark.parametrize("purpose", [Purpose.LEAVE, Purpose.PREFS])
def test_a_suppressed_address_never_comes_back_and_is_told_what_to_do(
    client: TestClient, sample: Sample, purpose: Purpose
) -> None:
    place = path(sample, purpose)
    client.post(path(sample, Purpose.LEAVE), data={"do": "leave"})
    suppress(sample, "ada")
    assert client.post(place, data={"do": "return"}).status_code == 303
    assert sample.reader_row("ada")["status"] == "unsubscribed"
    assert [each[0] for each in consents(sample, "ada")] == ["withdrawn"]
    shown = client.get(place + "?saved=return").text
    assert "We cannot begin again at this address" in shown
    assert f"mailto:{sample.settings.newsletter.reply_to}" in shown
    assert "Welcome back" not in shown
    assert 'value="return"' not in shown


def test_choices_of_a_suppressed_reader_promise_no_letters(client: TestClient, sample: Sample) -> None:
    suppress(sample, "ada")
    shown = client.get(path(sample, Purpose.PREFS) + "?saved=topics").text
    assert "You get no letters from us" in shown
    assert "are saved" not in shown
    assert "Save topics" not in shown


def test_coming_back_twice_is_coming_back_once(client: TestClient, sample: Sample) -> None:
    place = path(sample, Purpose.PREFS)
    client.post(place, data={"do": "leave"})
    for _ in range(3):
        client.post(place, data={"do": "return"})
    assert [each[0] for each in consents(sample, "ada")] == ["withdrawn", "given"]


def test_nothing_but_the_button_brings_somebody_back(client: TestClient, sample: Sample) -> None:
    prefs, leave = path(sample, Purpose.PREFS), path(sample, Purpose.LEAVE)
    client.post(prefs, data={"do": "leave"})
    for form in ({"do": "topics", "which": "all"}, {"do": "pause", "weeks": "0"}, {"do": "Return"}):
        client.post(prefs, data=form)
    client.get(prefs + "?do=return")
    client.get(leave + "?saved=return")
    # A mail program's one-click leaves, whatever else stands in its body or address.
    for body in ({"List-Unsubscribe": "One-Click", "do": "return"}, {"do": ["return", "leave"]}, {}):
        client.post(leave + "?do=return", data=body)
    assert sample.reader_row("ada")["status"] == "unsubscribed"


def test_another_purposes_token_brings_nobody_back(client: TestClient, sample: Sample) -> None:
    client.post(path(sample, Purpose.LEAVE), data={"do": "leave"})
    for door, wanted in (("u", Purpose.LEAVE), ("p", Purpose.PREFS)):
        for purpose in set(Purpose) - {wanted}:
            place = f"/{door}/{sample.token(purpose, 'ada')}"
            assert client.post(place, data={"do": "return"}).status_code == 404
    assert sample.reader_row("ada")["status"] == "unsubscribed"


def test_a_form_that_is_too_large_is_refused(client: TestClient, sample: Sample) -> None:
    for purpose in (Purpose.LEAVE, Purpose.PREFS):
        assert client.post(path(sample, purpose), content=b"x" * 70_000).status_code == 413
    assert sample.reader_row("ada")["status"] == "active"


# -- test letters ---------------------------------------------------------------------------------


def sign_test(rooms: Rooms, target: TestTarget) -> str:
    return TestTokens([secret.get_secret_value() for secret in rooms.settings.web.secrets]).sign(target)


def test_a_test_link_leads_on_and_stores_nothing(client: TestClient, sample: Sample, rooms: Rooms) -> None:
    answer = client.get("/t/" + sign_test(rooms, TestTarget(sample.revision, "story:1", 0)))
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://news.example.com/northlight/nlt-107-pivotal-trial"
    assert sample.events() == []


@pytest.mark.parametrize("place", ["leave", "prefs"])
def test_the_way_out_of_a_test_letter_is_inert(
    client: TestClient, sample: Sample, rooms: Rooms, place: str
) -> None:
    token = sign_test(rooms, TestTarget(sample.revision, place, 0))
    answer = client.get("/t/" + token)
    assert answer.status_code == 200
    assert "This was a test letter" in answer.text
    assert client.post("/t/" + token).status_code == 405


def test_a_test_letter_is_shown_whole_in_the_browser(
    client: TestClient, sample: Sample, rooms: Rooms
) -> None:
    answer = client.get("/t/" + sign_test(rooms, TestTarget(sample.revision, "view", 0)))
    assert 'id="story-8"' in answer.text
    assert "noindex" in answer.headers["x-robots-tag"]


@pytest.mark.parametrize(
    ("place", "index"), [("story:1", 9), ("story:99", 0), ("story:1", -1), ("nowhere", 0)]
)
def test_a_test_link_to_no_place_opens_nothing(
    client: TestClient, sample: Sample, rooms: Rooms, place: str, index: int
) -> None:
    assert client.get("/t/" + sign_test(rooms, TestTarget(sample.revision, place, index))).status_code == 404
    assert client.get("/t/" + sign_test(rooms, TestTarget(10**6, "story:1", 0))).status_code == 404
    assert client.get("/t/forged").status_code == 404


def test_no_page_of_a_reader_runs_script_or_tells_a_token_to_others(
    client: TestClient, sample: Sample
) -> None:
    with sample.database.ledger() as connection:
        add_reader(connection, sample, "mallory", True, reader_name=HOSTILE)
    for purpose in (Purpose.LEAVE, Purpose.PREFS):
        answer = client.get(path(sample, purpose, "mallory"))
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script" not in answer.text.lower()
        assert sample.token(purpose, "mallory") not in answer.text
        assert not re.search(r"\son\w+=|javascript:", answer.text)


def test_a_letter_of_somebody_who_changed_the_address_shows_the_new_one_masked(
    client: TestClient, sample: Sample
) -> None:
    with sample.database.ledger() as connection:
        connection.execute(
            update(subscribers)
            .where(subscribers.c.id == sample.readers["ada"])
            .values(email="zoe@example.org")
        )
        assert connection.execute(select(deliveries.c.email)).scalars().first() == "ada@example.com"
    assert "z•••@e•••.org" in client.get(path(sample, Purpose.LEAVE)).text
