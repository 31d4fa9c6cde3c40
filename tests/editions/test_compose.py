"""The rest of an edition: label, counts, date, minutes, links and what an editor is warned of."""

from datetime import date
from typing import Any

import pytest

from mailer.config import Settings
from mailer.config_tables import LinksTable
from mailer.editions.check import edition_warnings, needs_confirmation
from mailer.editions.compose import compose
from mailer.editions.content import EditionContent
from mailer.editions.outlinks import is_own, shown_host, tagged
from mailer.editions.select import select
from mailer.issues.document import FrontMatter
from mailer.issues.values import Issue
from tests.editions.makers import EVERYONE, call, issue, site, story, week


def edition(issue: Issue, *topics: str, settings: Settings | None = None) -> EditionContent:
    settings = settings or site()
    selection = select(issue, frozenset(topics) or None, settings)
    assert selection is not None
    return compose(issue, selection, settings)


def test_an_edition_is_called_by_the_names_of_its_topics() -> None:
    assert edition(week(), "myeloma", "car-t").label == "CAR-T + Myeloma"
    assert edition(week()).label == "Full edition"
    made = issue([story(1), story(2)], {1: EVERYONE, 2: ["car-t"]})
    assert edition(made, "x", settings=site(editions={"minimum_topic_stories": 0})).label == "For everyone"


def test_an_edition_counts_what_its_notice_says() -> None:
    content = edition(week(), "immunology")
    assert len(content.selection.topic_stories) == 2
    assert (content.everyone_stories, content.stories_in_issue) == (1, 8)


def test_the_date_is_that_of_the_newest_story_as_it_was_typed() -> None:
    dated = (
        story(1, date=date(2026, 1, 20), date_text="20 Jan 2026"),
        story(2, date=date(2026, 1, 23), date_text="Jan. 23rd, 2026"),
        story(3, date=date(2026, 1, 25), date_text="25 Jan 2026"),
        story(4),
    )
    made = issue(dated, {1: ["car-t"], 2: ["car-t"], 3: ["myeloma"], 4: ["immunology"]})
    assert edition(made, "car-t").date_text == "Jan. 23rd, 2026"
    assert edition(made, "immunology").date_text is None
    assert edition(issue([story(1, date_text="last week")], {1: ["car-t"]})).date_text == "last week"


def test_reading_takes_a_minute_at_least_and_grows_with_the_words() -> None:
    assert edition(issue([story(1)], {1: ["car-t"]})).reading_minutes == 1
    long = issue([story(1, context="word " * 230, key_point="word " * 460)], {1: ["car-t"]})
    assert edition(long).reading_minutes == 3


def test_a_story_shows_its_topics_host_and_every_url_once() -> None:
    urls = ("https://www.example.org/a", "https://example.com/b", "https://www.example.org/a")
    shown = edition(issue([story(1, urls=urls, emoji="🧬")], {1: ["car-t", "myeloma"]})).stories[0]
    assert (shown.topics, shown.host, shown.emoji) == (("car-t", "myeloma"), "example.org", "🧬")
    assert shown.urls == urls[:2]
    bare = edition(issue([story(1, urls=())], {1: EVERYONE})).stories[0]
    assert (bare.topics, bare.host, bare.urls) == ((), None, ())


def test_lines_that_lead_somewhere_take_their_target_from_the_issue_then_the_site() -> None:
    made = week(
        front_matter=FrontMatter(links={"Dive deeper": "https://example.com/deep"}),
        dive_deeper=("Dive deeper",),
        calls_to_action=(call(1, "Read on. It is free"), call(2, "Nowhere to go", "💡")),
    )
    targets = {"Dive deeper": "https://example.org/", "It is free": "https://example.org/free"}
    content = edition(made, "car-t", settings=site(links={"targets": targets}))
    assert [(line.text, line.url, line.place) for line in content.dive_deeper] == [
        ("Dive deeper", "https://example.com/deep", "dive:1")
    ]
    assert [(line.text, line.emoji, line.url, line.place) for line in content.calls_to_action] == [
        ("Read on. It is free", "🚀", "https://example.org/free", "cta:1"),
        ("Nowhere to go", "💡", None, "cta:2"),
    ]
    warned = [warning for warning in content.warnings if "leads nowhere" in warning]
    assert warned == ["'Nowhere to go' leads nowhere and is left out: name its target under 'links:'."]


def test_an_undecided_story_is_warned_of_and_a_decided_one_is_not() -> None:
    assert any("story 6 has no topic" in warning for warning in edition(week(), "car-t").warnings)
    decided = issue([story(1), story(2)], {1: EVERYONE, 2: ["car-t"]})
    assert edition(decided, "car-t").warnings == ()


UTM = LinksTable(
    utm={"source": "newsletter", "utm_medium": "e mail"}, utm_hosts=("example.com", "Shop.Example.ORG")
)


@pytest.mark.parametrize(
    ("url", "tagged_url"),
    [
        ("https://example.com", "https://example.com?utm_source=newsletter&utm_medium=e%20mail"),
        ("https://WWW.example.com:8443/a?b=%20c#d", "https://WWW.example.com:8443/a?b=%20c&utm_source=newsletter&utm_medium=e%20mail#d"),
        ("https://shop.example.org/?utm_source=mine", "https://shop.example.org/?utm_source=mine&utm_medium=e%20mail"),
        ("https://example.org/", "https://example.org/"),
        ("https://notexample.com/", "https://notexample.com/"),
        ("https://example.com.evil.example/", "https://example.com.evil.example/"),
        ("https://else.example/?next=https://example.com/", "https://else.example/?next=https://example.com/"),
    ],
)  # fmt: skip
def test_links_to_own_domains_are_tagged_and_no_others(url: str, tagged_url: str) -> None:
    assert tagged(url, UTM) == tagged_url


def test_every_link_of_an_edition_to_an_own_domain_is_tagged_alike() -> None:
    links: dict[str, Any] = {
        "utm": {"source": "nl"},
        "utm_hosts": ["example.com"],
        "targets": {"Go": "https://example.com/go"},
    }
    made = week(calls_to_action=(call(1, "Go"),), dive_deeper=("Go",))
    content = edition(made, "car-t", settings=site(links=links))
    urls = [url for shown in content.stories for url in shown.urls]
    assert urls == [reference.url for reference in content.references]
    urls += [line.url or "" for line in (*content.calls_to_action, *content.dive_deeper)]
    assert urls
    assert all(url.endswith("?utm_source=nl") for url in urls)


def test_without_own_domains_nothing_is_tagged() -> None:
    assert tagged("https://example.com/", LinksTable(utm={"source": "x"})) == "https://example.com/"
    assert not is_own("https://example.com/", ("", "."))


def test_a_host_is_shown_without_www_and_port() -> None:
    assert shown_host("https://WWW.Example.com:8443/a") == "example.com"
    assert shown_host("http://example.com./") == "example.com"


@pytest.mark.parametrize(
    ("size", "words"), [(79_999, None), (80_000, "80.0 kB"), (99_999, "100.0 kB"), (100_000, "Shorten")]
)
def test_a_large_letter_is_warned_of(size: int, words: str | None) -> None:
    found = [warning for warning in edition_warnings(edition(week()), size) if "HTML" in warning]
    assert len(found) == (words is not None)
    assert words is None or words in found[0]
    assert needs_confirmation(size) == (size >= 100_000)


def test_a_long_subject_and_a_missing_preheader_are_warned_of() -> None:
    made = week(front_matter=FrontMatter(subject="x" * 61))
    assert any("61 characters" in warning for warning in edition_warnings(edition(made), 1))
    alone = issue([story(1)], {1: ["car-t"]})
    assert any("no preview text" in warning for warning in edition_warnings(edition(alone), 1))
    fine = issue([story(1, key_point="Why")], {1: ["car-t"]})
    assert edition_warnings(edition(fine), 1) == ()
