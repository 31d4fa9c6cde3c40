"""The results pages: on this machine only, people first."""

import asyncio

import pytest
from sqlalchemy import insert, update
from starlette.testclient import TestClient

from mailer.links import Purpose
from mailer.tables import campaign_stories, campaigns, chunks, deliveries, editions
from mailer.tracking.hits import Hit, HitWriter
from mailer.tracking.verdicts import settle
from tests.tracking.sample import BROWSER, NONCE, Sample
from tests.tracking.test_hits import LATER


def read(sample: Sample) -> None:
    """Ada opens and clicks, a machine prefetches Ben's letter, Cleo is counted without a name."""
    writer = HitWriter(sample.database, sample.tokens, sample.settings)
    writer.start()
    (link,) = sample.link_ids(1)
    nameless = sample.tokens.sign(Purpose.TRACK_CAMPAIGN, sample.campaign)
    hits = [
        Hit("open", sample.token(Purpose.TRACK, "ada"), None, BROWSER, sample.now),
        Hit("click", sample.token(Purpose.TRACK, "ada"), link, BROWSER, sample.now),
        Hit("open", sample.token(Purpose.TRACK, "ben"), None, "Mozilla/5.0", sample.now),
        Hit("open", nameless, None, BROWSER, sample.now),
    ]

    async def all_of_them() -> None:
        await asyncio.gather(*(writer.submit(hit) for hit in hits))

    asyncio.run(all_of_them())
    writer.stop()
    settle(sample.database, sample.now + LATER)


def test_people_stand_first_with_the_base_they_are_a_share_of(desk: TestClient, sample: Sample) -> None:
    read(sample)
    with sample.database.ledger() as connection:
        connection.execute(update(deliveries).values(fate="delivered"))
    shown = desk.get(f"/campaigns/{sample.campaign}").text
    assert "50.0 %" in shown
    assert "1 of 2 measurable" in shown
    assert "1 open" in shown
    assert "Automatic only" in shown
    assert shown.index("Opened by people") < shown.index("Automatic only")


def test_a_topic_names_its_stories_and_a_time_its_zone(desk: TestClient, sample: Sample) -> None:
    shown = desk.get(f"/campaigns/{sample.campaign}").text
    assert 'data-label="Stories">#1, #2, #5</td>' in shown
    assert f"{sample.now.astimezone(sample.settings.zone):%H:%M} CEST" in shown
    assert "CEST" in desk.get("/").text


def test_what_is_unclear_is_said_of_opens_and_of_clicks(desk: TestClient, sample: Sample) -> None:
    shown = desk.get(f"/campaigns/{sample.campaign}").text
    assert shown.count("for example an image proxy") == 1
    assert shown.count("for example a download tool") == 1


def test_the_letter_of_a_version_is_one_click_away_and_nobodys(desk: TestClient, sample: Sample) -> None:
    assert (
        f'href="/campaigns/{sample.campaign}/versions/full"' in desk.get(f"/campaigns/{sample.campaign}").text
    )
    answer = desk.get(f"/campaigns/{sample.campaign}/versions/full")
    assert "sample-link-opens-nought" in answer.text
    assert NONCE not in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox ")
    assert desk.get(f"/campaigns/{sample.campaign}/versions/none").status_code == 404


def test_the_list_of_campaigns_links_to_each(desk: TestClient, sample: Sample) -> None:
    read(sample)
    shown = desk.get("/").text
    assert f'href="/campaigns/{sample.campaign}"' in shown
    assert "1 of 2" in shown


def test_a_campaign_of_nobody_is_a_plain_page(desk: TestClient) -> None:
    for number in ("999", "x", "-1", "1.5", "9" * 30):
        assert desk.get(f"/campaigns/{number}").status_code == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8001", "127.0.0.1.evil.example", "", "10.0.0.1"]
)
def test_another_name_than_this_machines_is_refused(desk: TestClient, host: str) -> None:
    assert desk.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8001", "localhost:9000", "[::1]:8001", "LOCALHOST"])
def test_the_names_of_this_machine_are_let_in(desk: TestClient, host: str) -> None:
    assert desk.get("/", headers={"Host": host}).status_code == 200


def test_what_needs_a_person_is_said_on_top(desk: TestClient, sample: Sample) -> None:
    with sample.database.ledger() as connection:
        connection.execute(update(chunks).values(state="uncertain"))
        connection.execute(update(campaigns).values(status="paused", pause_reason="<b>401</b> from SendGrid"))
    overview, results = desk.get("/").text, desk.get(f"/campaigns/{sample.campaign}").text
    assert "Needs you" in overview
    assert "&lt;b&gt;401&lt;/b&gt; from SendGrid" in overview
    assert f"mailer resolve {sample.campaign}" in results


def test_hostile_titles_and_labels_are_text(desk: TestClient, sample: Sample) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    with sample.database.ledger() as connection:
        connection.execute(update(editions).values(subject=hostile, label=hostile))
        connection.execute(
            insert(campaign_stories).values(
                campaign_id=sample.campaign, number=99, story_id="x", title=hostile, topics=[hostile]
            )
        )
    for page in ("/", f"/campaigns/{sample.campaign}"):
        shown = desk.get(page).text
        assert hostile not in shown
        assert "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_an_empty_desk_says_what_to_do(desk: TestClient, sample: Sample) -> None:
    from sqlalchemy import delete

    with sample.database.ledger() as connection:
        connection.execute(delete(campaigns))
    assert "mailer import" in desk.get("/").text


@pytest.mark.parametrize(
    "number", ["9" * 20, "9" * 5000, "2147483648", "x", "-1", "0", "1.5", "\u0661", "1e3"]
)
@pytest.mark.parametrize("rest", ["", "/versions/full"])
def test_a_number_that_no_campaign_has_is_answered_with_the_page_for_it(
    desk: TestClient, sample: Sample, number: str, rest: str
) -> None:
    known = desk.get("/campaigns/77777")
    answer = desk.get(f"/campaigns/{number}{rest}")
    assert answer.status_code == 404
    assert answer.text == known.text
