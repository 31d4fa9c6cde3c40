"""Readers who act: the same people for the same seed, real requests, and a report that can be believed."""

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.event_models import Verdict
from mailer.sandbox.errands import APPLE_PROXY, BROWSERS, GATEWAY, GOOGLE_PROXY, MAIL_CLIENTS
from mailer.sandbox.letter_links import is_on_this_machine, links_of
from mailer.sandbox.options import QUIET, Rates
from mailer.sandbox.people import REACHED, Opens, reader
from mailer.sandbox.readers import PlayReport, play
from mailer.tracking.agents import judge_agent
from tests.sandbox.conftest import Desk, Receiver, mail
from tests.sandbox.test_misbehaviour import wait_until

LINKS = 6


def send(desk: Desk, receiver: Receiver, count: int, *, shared: int = 0) -> None:
    """Letters like ours; the first `shared` readers have one tracking token together."""
    url = receiver.url
    page = "".join(f'<a href="{url}/c/[[k:t]]/{n}">story {n}</a>' for n in range(LINKS))
    html = (
        f'<html><body>{page}<a href="{url}/u/[[k:t]]">leave</a><a href="https://www.example.com/x">out</a>'
        f'<img src="{url}/o/[[k:t]].gif" width="1" height="1"><img src="https://www.example.com/logo.png"></body>'
    )
    people = [
        {
            "to": [{"email": f"reader{n}@example.com"}],
            "substitutions": {"[[k:t]]": "together" if n < shared else f"token{n}"},
            "headers": {
                "List-Unsubscribe": f"<{url}/u/leave{n}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        }
        for n in range(count)
    ]
    parts = [{"type": "text/plain", "value": "x"}, {"type": "text/html", "value": html}]
    assert desk.send(mail(*people, content=parts)).status == 202


def only(**rates: Any) -> Rates:
    return QUIET.model_copy(update=rates)


def hits(receiver: Receiver, door: str, method: str = "GET") -> Counter[str]:
    return Counter(hit.path for hit in receiver.hits if hit.path.startswith(door) and hit.method == method)


@given(st.integers(), st.emails())
def test_the_same_seed_and_address_make_the_same_person(seed: int, email: str) -> None:
    assert reader(seed, email, Rates()) == reader(seed, email.upper(), Rates())


def test_rates_are_met_over_many_people() -> None:
    rates = Rates()
    people = [reader(11, f"r{n}@example.com", rates) for n in range(20_000)]
    reached = [person for person in people if person.fate in REACHED]
    assert len(reached) / len(people) == pytest.approx(0.955, abs=0.01)
    assert sum(person.opens is Opens.PERSON for person in reached) / len(reached) == pytest.approx(
        0.45, abs=0.02
    )
    assert sum(person.links > 0 for person in reached) / len(reached) == pytest.approx(0.25, abs=0.02)
    assert {person.links for person in reached} == {0, 1, 2, 3}


def test_another_seed_makes_other_people() -> None:
    def crowd(seed: int) -> list[object]:
        return [reader(seed, f"r{n}@example.com", Rates()) for n in range(100)]

    assert crowd(1) != crowd(2)


def test_two_rounds_with_one_seed_do_the_same(desk: Desk, receiver: Receiver) -> None:
    reports: list[PlayReport] = []
    for _ in range(2):
        desk.server.state.reset()
        send(desk, receiver, 80)
        reports.append(play(desk.server, seed=5))
    acts = [
        sorted((deed.act.email, deed.act.kind, deed.act.url) for deed in report.deeds) for report in reports
    ]
    assert acts[0] == acts[1]
    assert acts[0]
    assert (reports[0].fates, reports[0].scanned) == (reports[1].fates, reports[1].scanned)


def test_the_report_is_what_arrived_at_the_doors(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 200)
    report = play(desk.server, seed=3, webhook_url=f"{receiver.url}/hook")
    done = [deed.act for deed in report.deeds]
    assert all(deed.is_answered for deed in report.deeds)
    assert sum(hits(receiver, "/o/").values()) == sum(act.kind == "open" for act in done)
    assert sum(hits(receiver, "/c/").values()) == sum(act.kind == "click" for act in done)
    assert sum(hits(receiver, "/", "HEAD").values()) == sum(act.kind == "head" for act in done)
    assert sum(hits(receiver, "/u/", "POST").values()) == sum(act.kind == "leave" for act in done) > 0
    assert report.letters == 200 == sum(report.fates.values())
    assert report.skipped == 0
    summary = desk.summary()
    assert summary["opened"] == len(report.people("open", "human"))
    assert (summary["fates"], summary["unplayed"]) == (report.fates, 0)


def test_only_readers_who_were_reached_act(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 50)
    report = play(desk.server, rates=only(bounced=0.5, opened=1.0, clicked=1.0, left=1.0))
    bounced = {letter["to"] for letter in desk.messages("limit=100") if letter["fate"] == "bounced"}
    assert 10 < len(bounced) < 40
    assert bounced.isdisjoint({deed.act.email for deed in report.deeds})
    assert len(report.people("open", "human")) == 50 - len(bounced)
    listed = {row["email"] for row in desk.request("GET", "/v3/suppression/bounces").json()}
    assert listed == bounced


def test_nobody_is_played_twice(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 5)
    assert play(desk.server, rates=only(opened=1.0)).letters == 5
    assert play(desk.server, rates=only(opened=1.0)).letters == 0
    assert sum(hits(receiver, "/o/").values()) == 5


def test_a_person_without_time_asks_for_one_link_and_with_time_for_several(
    desk: Desk, receiver: Receiver
) -> None:
    send(desk, receiver, 40)
    play(desk.server, rates=only(clicked=1.0))
    assert len(hits(receiver, "/c/")) == 40
    tokens = Counter(path.split("/")[2] for path in hits(receiver, "/c/"))
    assert set(tokens.values()) == {1}


def test_links_of_one_person_lie_more_than_two_seconds_apart() -> None:
    from mailer.sandbox.errands import Actor, errand_of
    from mailer.sandbox.letter_links import LetterLinks

    links = LetterLinks(None, tuple(f"http://127.0.0.1:1/c/t/{n}" for n in range(9)), (), None, "t")
    most = 0
    for number in range(300):
        person = reader(1, f"r{number}@example.com", only(clicked=1.0))
        times = [act.at for act in errand_of(Actor(1, "r", person, links), spread_seconds=20.0)]
        most = max(most, len(times))
        assert all(later - sooner > 2.0 for sooner, later in itertools.pairwise(times))
        assert times[-1] <= 20.0
    assert most == 3


def test_the_gateway_asks_for_every_link_of_one_letter_and_its_reader_does_nothing(
    desk: Desk, receiver: Receiver
) -> None:
    send(desk, receiver, 20)
    report = play(desk.server, rates=only(scan_bursts=1, opened=1.0, clicked=1.0))
    (scanned,) = report.scanned
    acts = [deed.act for deed in report.deeds if deed.act.email == scanned]
    assert Counter(act.kind for act in acts) == {"head": LINKS + 1, "click": LINKS, "visit": 1}
    assert {act.verdict for act in acts} == {"machine"}
    assert scanned not in report.people("click", "human")
    assert hits(receiver, "/u/", "POST") == {}
    assert {hit.headers["user-agent"] for hit in receiver.hits if hit.method == "HEAD"} == {GATEWAY}


def test_a_gateway_prefers_a_reader_who_is_measured(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 30, shared=29)
    report = play(desk.server, rates=only(scan_bursts=1, opened=1.0))
    assert report.scanned == ("reader29@example.com",)
    assert report.people("open", "human") == set()
    assert len(report.people("open", "human", measured=False)) == 29


def test_leaving_comes_in_both_encodings_of_one_click(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 40)
    play(desk.server, rates=only(left=1.0))
    posts = [hit for hit in receiver.hits if hit.method == "POST"]
    assert {hit.path for hit in posts} == {f"/u/leave{n}" for n in range(40)}
    encoded = {hit.headers["content-type"].split(";")[0] for hit in posts}
    assert encoded == {"application/x-www-form-urlencoded", "multipart/form-data"}
    for hit in posts:
        if hit.headers["content-type"].startswith("application"):
            assert hit.body == b"List-Unsubscribe=One-Click"
        else:
            assert b'name="List-Unsubscribe"\r\n\r\nOne-Click\r\n' in hit.body


def test_agents_are_what_the_readers_pretend_to_be() -> None:
    def verdicts(agents: Iterable[str]) -> set[Verdict]:
        return {judge_agent(agent).verdict for agent in agents}

    assert verdicts([*BROWSERS, *MAIL_CLIENTS]) == {Verdict.HUMAN}
    assert verdicts([APPLE_PROXY]) == {Verdict.MACHINE}
    assert verdicts([GOOGLE_PROXY]) == {Verdict.UNKNOWN}


def test_opens_come_from_mail_clients_apple_and_gmail(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 60)
    report = play(desk.server, rates=only(opened=0.4, opened_by_apple=0.3, opened_by_proxy=0.3))
    agents = {hit.headers["user-agent"] for hit in receiver.hits}
    assert {APPLE_PROXY, GOOGLE_PROXY} < agents
    sizes = [len(report.people("open", verdict)) for verdict in ("human", "machine", "unknown")]
    assert sum(sizes) == 60
    assert min(sizes) > 5


def test_nothing_outside_this_machine_is_ever_asked(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 10)
    report = play(desk.server, rates=only(opened=1.0, clicked=1.0, left=1.0, scan_bursts=3))
    assert report.deeds
    assert all(is_on_this_machine(deed.act.url) for deed in report.deeds)


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("http://127.0.0.1:8000/c/t/1", True),
        ("http://localhost/c/t/1", True),
        ("http://[::1]:8000/x", True),
        ("http://127.0.0.1@evil.example/c/t/1", False),
        ("http://127.0.0.1.evil.example/", False),
        ("https://www.example.com/", False),
        ("javascript:alert(1)", False),
        ("http://[broken/", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_what_only_looks_like_it(url: str, is_ours: bool) -> None:
    assert is_on_this_machine(url) == is_ours


def test_links_are_found_in_any_quotes_case_and_depth_of_path() -> None:
    found = links_of(
        "<A class=x HREF='http://h/base/c/tok/7?a=1&amp;b=2'>x</A><a href=\"mailto:a@example.com\">m</a>"
        '<img alt="" src="http://h/base/o/tok.gif"><a name="x">no</a><a href="#top">top</a>',
        {
            "list-unsubscribe": "<mailto:x@example.com>, <https://h/u/1>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )
    assert found.counted == ("http://h/base/c/tok/7?a=1&b=2",)
    assert (found.pixel, found.token, found.leave) == ("http://h/base/o/tok.gif", "tok", "https://h/u/1")
    assert found.others == ()


def test_without_the_post_header_nobody_leaves_by_one_click() -> None:
    assert links_of("", {"List-Unsubscribe": "<https://h/u/1>"}).leave is None


def test_a_deadline_cuts_what_is_left_and_says_so(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 20)
    report = play(desk.server, rates=only(opened=1.0), spread_seconds=3600.0, deadline=0.05)
    assert report.skipped == 20 - len(report.deeds)
    assert report.skipped >= 19


def test_doors_that_do_not_answer_are_no_deeds_of_people(desk: Desk, receiver: Receiver) -> None:
    page = '<img src="http://127.0.0.1:9/o/t.gif">'
    desk.send(mail(content=[{"type": "text/html", "value": page}]))
    report = play(desk.server, rates=only(opened=1.0))
    assert [deed.status for deed in report.deeds] == [None]
    assert report.people("open", "human") == set()


def test_progress_is_told_for_every_act(desk: Desk, receiver: Receiver) -> None:
    send(desk, receiver, 10)
    told: list[tuple[int, int]] = []
    play(desk.server, rates=only(opened=1.0), progress=lambda done, total: told.append((done, total)))
    assert sorted(told) == [(number, 10) for number in range(1, 11)]


def test_readers_act_on_their_own_when_told_to(desk: Desk, receiver: Receiver) -> None:
    desk.behave(
        play="on", webhook_url=f"{receiver.url}/hook", rates=orjson.loads(only(opened=1.0).model_dump_json())
    )
    send(desk, receiver, 3)
    wait_until(lambda: len(receiver.events()) >= 6 and sum(hits(receiver, "/o/").values()) == 3)
    desk.behave(play="off")
    wait_until(lambda: not desk.server.state.playing.locked())
    assert {letter["fate"] for letter in desk.messages()} == {"delivered"}
