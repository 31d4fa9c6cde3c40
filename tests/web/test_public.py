"""Pages for everybody, and what holds for all pages."""

import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, text, update
from starlette.testclient import TestClient

from mailer.links import Purpose
from mailer.service.rooms import Rooms
from mailer.tables import campaigns, chunks, fences
from mailer.web.app import create_public_app
from mailer.web.pages import unbroken
from mailer.web.server import WebServer
from tests import databases
from tests.tracking.sample import SLUG, Sample

EVE = datetime(2026, 4, 9, 22, 30, tzinfo=UTC)


def state_of(sample: Sample) -> str:
    """One hash over every row of every table."""
    found = hashlib.sha256()
    for row in databases.rows(sample.database):
        found.update(row.encode())
    return found.hexdigest()


@pytest.mark.parametrize("page", ["/", "/subscribe", "/archive", f"/archive/{SLUG}", "/robots.txt"])
def test_public_pages_are_strict_and_need_no_script(client: TestClient, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    assert "<script" not in answer.text
    assert "style=" not in answer.text


def test_what_was_handed_over_ahead_of_its_time_stays_out_of_the_archive_until_then(
    client: TestClient, sample: Sample
) -> None:
    with sample.database.ledger() as connection:
        campaign = connection.execute(select(campaigns.c.id)).scalars().first()
        fence = connection.execute(
            insert(fences)
            .values(
                campaign_id=campaign, slot=0, batch_id="b", send_at=EVE, state="open", opened_at=EVE, tries=0
            )
            .returning(fences.c.id)
        ).scalar_one()
        connection.execute(update(chunks).values(fence_id=fence))
    assert f'href="/archive/{SLUG}"' not in client.get("/archive").text
    assert client.get(f"/archive/{SLUG}").status_code == 404
    with sample.database.ledger() as connection:
        connection.execute(update(fences).values(state="spent"))
    assert f'href="/archive/{SLUG}"' in client.get("/archive").text


def test_the_archive_lists_issues_that_were_sent(client: TestClient) -> None:
    assert f'href="/archive/{SLUG}"' in client.get("/archive").text
    assert client.get("/archive/no-such-issue").status_code == 404


@pytest.mark.parametrize(
    ("campaign", "chunk"),
    [
        ("preparing", "waiting"),
        ("sending", "submitting"),
        ("paused", "waiting"),
        ("paused", "uncertain"),
        ("cancelled", "withheld"),
        ("finished", "rejected"),
    ],
)
def test_the_archive_keeps_an_issue_back_until_a_letter_was_handed_over(
    client: TestClient, sample: Sample, campaign: str, chunk: str
) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(campaigns).values(status=campaign))
        connection.execute(update(chunks).values(state=chunk))
    for page in ("/", "/archive"):
        assert SLUG not in client.get(page).text
    assert client.get(f"/archive/{SLUG}").status_code == 404
    with sample.database.ledger() as connection:
        connection.execute(update(chunks).values(state="accepted"))
    assert client.get(f"/archive/{SLUG}").status_code == 200


def test_an_archived_issue_is_whole_with_its_stories_anchored(client: TestClient, sample: Sample) -> None:
    shown = client.get(f"/archive/{SLUG}").text
    for number in range(1, 9):
        assert f'id="story-{number}"' in shown
        assert f'href="#story-{number}"' in shown
    assert '<span class="nowrap">CAR-T</span> enters its pivotal leukemia trial' in shown
    assert "Good morning. Eight stories made the cut this week" in shown
    assert 'id="reference-8"' in shown
    assert "/c/" not in shown
    assert "/o/" not in shown


def test_a_title_is_unbroken_and_stays_text() -> None:
    unbroken_title = unbroken("CAR-T <b>IL-6</b> & off-the-shelf")
    kept = '<span class="nowrap">CAR-T</span> &lt;b&gt;<span class="nowrap">IL-6</span>&lt;/b&gt;'
    assert unbroken_title == kept + " &amp; off-the-shelf"


def test_the_home_page_says_what_this_is_and_how_to_join(client: TestClient, sample: Sample) -> None:
    home = client.get("/").text
    assert sample.settings.newsletter.tagline in home
    assert f"mailto:{sample.settings.newsletter.reply_to}" in client.get("/subscribe").text


def test_pages_link_below_the_path_of_their_base_url(sample: Sample) -> None:
    web = sample.settings.web.model_copy(update={"base_url": "https://example.com/news"})
    rooms = Rooms.of(sample.settings.model_copy(update={"web": web}), sample.database)
    with TestClient(create_public_app(rooms)) as client:
        shown = client.get("/archive").text
    assert f'href="/news/archive/{SLUG}"' in shown
    assert 'href="/news/static/house.css"' in shown


def test_the_colours_of_topics_are_in_the_style_sheet(client: TestClient) -> None:
    theme = client.get("/static/theme.css")
    assert theme.headers["content-type"].startswith("text/css")
    assert ".chip-car-t{color:#5B21B6;background:#EDE9FE}" in theme.text
    assert "@media (prefers-color-scheme:dark)" in theme.text
    assert client.get("/static/house.css").status_code == 200
    assert client.get("/static/../pages.py").status_code == 404


def every_path(sample: Sample) -> list[str]:
    (link,) = sample.link_ids(1)
    tokens = {purpose: sample.token(purpose, "ada") for purpose in Purpose}
    return [
        *("/", "/subscribe", "/archive", f"/archive/{SLUG}", "/health", "/robots.txt", "/webhooks/sendgrid"),
        *(f"/v/{tokens[Purpose.READ]}", f"/u/{tokens[Purpose.LEAVE]}", f"/p/{tokens[Purpose.PREFS]}"),
        f"/p/{tokens[Purpose.PREFS]}?saved=topics&do=leave&weeks=4",
        f"/u/{tokens[Purpose.LEAVE]}?List-Unsubscribe=One-Click&do=leave",
        *("/t/forged", "/static/house.css", "/nothing", f"/c/{'x' * 24}/{link}"),
    ]


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_get_changes_nothing(client: TestClient, sample: Sample, data: st.DataObject) -> None:
    before = state_of(sample)
    for _ in range(3):
        place = data.draw(st.sampled_from(every_path(sample)))
        method = data.draw(st.sampled_from(["GET", "HEAD", "OPTIONS", "TRACE"]))
        tail = data.draw(st.sampled_from(["", "?x=1", "?do=leave", "&do=leave", "/", "%2F..", "#x"]))
        headers = data.draw(
            st.sampled_from(
                [{}, {"X-HTTP-Method-Override": "POST"}, {"Cookie": "a=b"}, {"Purpose": "prefetch"}]
            )
        )
        answer = client.request(method, place + tail, headers=headers)
        assert answer.status_code in (200, 404, 405)
    assert state_of(sample) == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused_politely(client: TestClient, sample: Sample, method: str) -> None:
    before = state_of(sample)
    for place in every_path(sample):
        assert client.request(method, place).status_code in (404, 405)
    assert state_of(sample) == before


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    door=st.sampled_from(["/v/", "/u/", "/p/", "/t/", "/archive/", "/c/a/", "/o/", "/"]),
    rest=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="#?"), max_size=30),
)
def test_no_address_breaks_a_page_or_comes_back_in_it(client: TestClient, door: str, rest: str) -> None:
    answer = client.get(door + quote(rest, safe="/"))
    assert answer.status_code in (200, 302, 404)
    assert "Traceback" not in answer.text


def test_an_error_shows_no_more_than_that_it_was_one(rooms: Rooms, sample: Sample) -> None:
    with sample.database.ledger() as connection:
        connection.execute(text("ALTER TABLE revision RENAME TO gone"))
    with TestClient(create_public_app(rooms), raise_server_exceptions=False) as client:
        answer = client.get(f"/archive/{SLUG}")
    assert answer.status_code == 500
    assert "That did not work" in answer.text
    assert "revision" not in answer.text


def test_no_token_is_in_a_log(
    rooms: Rooms, sample: Sample, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import urllib.error
    import urllib.request

    secrets = [sample.token(purpose, "ada") for purpose in Purpose]
    with caplog.at_level(logging.DEBUG), WebServer(rooms, port=0, admin_port=0) as web:
        for door, token in zip("vupcocx", [*secrets, "x"], strict=True):
            for tail in ("", "/1", ".gif"):
                try:
                    urllib.request.urlopen(f"{web.url}/{door}/{token}{tail}").close()
                except urllib.error.HTTPError as refused:
                    refused.close()
                except urllib.error.URLError:
                    continue  # a click led on to a host outside
    out, err = capfd.readouterr()
    for secret in secrets:
        assert secret not in caplog.text + out + err


def test_the_css_names_no_other_host() -> None:
    css = (Path(__file__).parents[2] / "mailer" / "web" / "static" / "house.css").read_text()
    assert "http" not in css
    assert "@import" not in css
    assert "url(" not in css
