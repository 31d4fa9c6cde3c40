"""The sandbox's own doors: messages as JSON, counts, settings, a fresh start."""

from typing import Any

import pytest

from mailer.config import Settings
from mailer.sandbox.options import options_of
from tests.sandbox.conftest import Desk, mail, person


def test_messages_tell_everything_about_a_letter(desk: Desk) -> None:
    answer = desk.send(
        mail(
            person(
                1,
                headers={"X-Own": "1"},
                custom_args={"nl_a": "attempt", "nl_d": "d"},
                substitutions={"[[k]]": "Ada"},
            ),
            categories=["weekly"],
            reply_to={"email": "reply@example.com"},
            subject="Hi [[k]]",
        )
    )
    (letter,) = desk.messages("html=1")
    assert letter["message_id"] == answer.headers["X-Message-Id"]
    assert (
        letter
        | {
            "to": "reader1@example.com",
            "subject": "Hi Ada",
            "from": {"email": "editor@example.com", "name": "Weekly"},
            "reply_to": {"email": "reply@example.com"},
            "headers": {"X-Own": "1"},
            "custom_args": {"nl_a": "attempt", "nl_d": "d"},
            "substitutions": {"[[k]]": "Ada"},
            "categories": ["weekly"],
            "attempt": "attempt",
            "text": "Hello",
            "html": "<p>Hello</p>",
            "fate": "accepted",
        }
        == letter
    )
    assert "html" not in desk.messages()[0]


def test_messages_are_filtered_and_paged(desk: Desk) -> None:
    for attempt in ("one", "two"):
        people = [person(n, custom_args={"nl_a": attempt}) for n in range(3)]
        desk.send(mail(*people))
    every = desk.messages()
    assert [letter["id"] for letter in every] == sorted(letter["id"] for letter in every)
    assert len(desk.messages("to=READER1@example.com")) == 2
    assert {letter["attempt"] for letter in desk.messages("attempt=two")} == {"two"}
    assert len(desk.messages(f"message_id={every[0]['message_id']}")) == 3
    assert desk.messages("message_id=%27%20OR%201=1") == []
    first = desk.messages("limit=2")
    assert len(first) == 2
    assert desk.messages(f"since={first[-1]['id']}") == every[2:]
    assert desk.messages(f"attempt=two&to=reader0@example.com&since={every[3]['id']}") == []


@pytest.mark.parametrize("query", ["limit=many", "since=-1", "since=" + "9" * 40, "who=me"])
def test_a_wrong_filter_is_refused(desk: Desk, query: str) -> None:
    assert desk.request("GET", f"/sandbox/messages?{query}").status == 400


def test_the_summary_counts(desk: Desk) -> None:
    desk.send(mail(person(1), person(2)))
    desk.send(mail(person(1), person(1)))
    found = desk.summary()
    assert (found["requests"], found["letters"], found["people"]) == (1, 2, 2)
    assert found["answers"] == {"202": 1, "400": 1}
    assert found["fates"] == {"accepted": 2}


def test_settings_are_changed_shown_and_checked(desk: Desk) -> None:
    desk.behave(rates={"opened": 0.9}, seed=4)
    desk.behave(rates={"clicked": 0.1})
    shown = desk.request("GET", "/sandbox/behaviour").json()
    assert (shown["seed"], shown["rates"]["opened"], shown["rates"]["clicked"]) == (4, 0.9, 0.1)
    wrongs: list[Any] = [{"colour": "red"}, {"rates": {"opened": 2}}, {"custom_args_limit": "none"}, [], "x"]
    for wrong in wrongs:
        answer = desk.request("POST", "/sandbox/behaviour", wrong)
        assert answer.status == 400, wrong
    assert desk.request("GET", "/sandbox/behaviour").json() == shown
    assert desk.request("POST", "/sandbox/behaviour", b"{").status == 400


def test_a_reset_forgets_letters_settings_and_faults_but_not_the_key(desk: Desk) -> None:
    key = desk.request("GET", "/sandbox/public-key").json()
    desk.send(mail())
    desk.behave(seed=99)
    desk.server.faults.add("unavailable")
    desk.server.mailbox.suppress("bounces", "a@example.com", now=1)
    assert desk.request("POST", "/sandbox/reset").status == 204
    found = desk.summary()
    assert (found["letters"], found["requests"], found["answers"], found["suppressions"]) == (0, 0, {}, {})
    assert found["faults_waiting"] == 0
    assert desk.request("GET", "/sandbox/behaviour").json()["seed"] == 1
    assert desk.request("GET", "/sandbox/public-key").json() == key


def test_a_site_decides_where_events_go(settings: Settings) -> None:
    assert options_of(settings).webhook_url == f"{settings.web.base_url}/webhooks/sendgrid"
    table = settings.sandbox.model_copy(
        update={"webhook_url": "http://127.0.0.1:1/x", "custom_args_limit": "request"}
    )
    chosen = options_of(settings.model_copy(update={"sandbox": table}))
    assert (chosen.webhook_url, chosen.custom_args_limit, chosen.play) == (
        "http://127.0.0.1:1/x",
        "request",
        "off",
    )
