"""Where links lead, and that nothing of a sample or test opens a reader's door."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.editions.compose import compose
from mailer.editions.links import (
    SAMPLE_TOKENS,
    CampaignLinks,
    PreviewLinks,
    TestLinks,
    TestTarget,
    TestTokens,
    faq_sources,
    fill,
    link_places,
    longest_bytes,
    sample_values,
    urls_of,
)
from mailer.editions.render import render
from mailer.editions.select import every_selection
from mailer.links import Doors, Purpose, Slot, Slots, Tokens, doors_of
from tests.editions.letters import content_of, hrefs, parsed, rich_week, shop
from tests.editions.makers import entry, story, week

DOORS = Doors("https://news.example.com", "https://n.example.com")
SLOTS = Slots("abcd2345")


def test_a_campaigns_links_hold_slot_keys_and_row_numbers() -> None:
    links = CampaignLinks(DOORS, SLOTS, {("story:1", "https://example.org/a"): 77}, "week-04")
    assert links.target("story:1", "https://example.org/a") == "https://news.example.com/c/[[abcd2345:t]]/77"
    assert links.view == "https://news.example.com/v/[[abcd2345:v]]"
    assert links.leave == "https://n.example.com/u/[[abcd2345:u]]"
    assert links.prefs == "https://news.example.com/p/[[abcd2345:p]]"
    assert links.pixel == "https://news.example.com/o/[[abcd2345:t]].gif"
    assert links.archive == "https://news.example.com/archive/week-04"
    assert links.subscribe == "https://news.example.com/subscribe"


def test_a_link_without_a_row_is_a_fault_and_no_dead_link() -> None:
    with pytest.raises(KeyError):
        CampaignLinks(DOORS, SLOTS, {}, "week-04").target("story:1", "https://example.org/a")


@given(secret=st.text(min_size=1))
def test_sample_tokens_open_nothing(secret: str) -> None:
    tokens = Tokens([secret])
    for purpose, token in itertools.product(Purpose, SAMPLE_TOKENS.values()):
        assert len(token) == 24
        assert tokens.open(purpose, token) is None


def test_previews_count_links_from_one_in_the_order_of_reading() -> None:
    content = content_of(rich_week(), shop(), "car-t")
    links = PreviewLinks(DOORS, "week-04", content)
    numbers = [links.target(link.place, link.url).rsplit("/", 1)[1] for link in link_places(content)]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert links.pixel == "https://news.example.com/o/sample-link-opens-nought.gif"


def test_places_name_the_issues_numbers_whatever_the_edition_prints() -> None:
    content = content_of(rich_week(), shop(), "myeloma")
    places = {link.place: (link.url, link.story_number) for link in link_places(content)}
    assert places["story:3"] == ("https://source3.example.com/3", 3)
    assert places["reference:3"] == ("https://source3.example.com/3", 3)
    assert places["faq:2"] == ("https://source3.example.com/3", 3)
    assert places["cta:1"] == ("https://www.example.com/talk", None)
    assert places["dive:1"] == ("https://www.example.com/more", None)
    assert "story:1" not in places


def test_every_edition_has_only_links_that_the_whole_issue_has() -> None:
    issue, settings = rich_week(), shop()
    whole = set(link_places(content_of(issue, settings)))
    for selection in every_selection(issue, settings):
        assert set(link_places(compose(issue, selection, settings))) <= whole


def test_a_link_that_stands_twice_is_one_link() -> None:
    url = "https://example.org/same"
    content = content_of(
        week(
            stories=[story(1, urls=(url,)), story(2, urls=(url,))],
            references=(url,),
            topics={1: ["car-t"], 2: ["car-t"]},
        ),
        shop(),
    )
    links = link_places(content)
    assert len(links) == len({(link.place, link.url) for link in links})
    assert [link.place for link in links] == ["story:1", "story:2", "reference:1"]


def test_a_question_links_to_what_it_cites() -> None:
    content = content_of(rich_week(faq=(entry(1, "Both?", 3, 1),)), shop())
    assert faq_sources(content, content.faq[0]) == [
        (3, "https://source3.example.com/3"),
        (1, "https://source1.example.com/1"),
    ]


@given(
    revision_id=st.integers(min_value=0, max_value=2**40),
    place=st.text(max_size=20),
    index=st.integers(min_value=0, max_value=99),
)
def test_test_tokens_say_what_was_signed_and_nothing_else(revision_id: int, place: str, index: int) -> None:
    tokens = TestTokens(["new", "old"])
    target = TestTarget(revision_id, place, index)
    signed = tokens.sign(target)
    assert tokens.open(signed) == target
    assert tokens.open(("A" if signed[0] != "A" else "B") + signed[1:]) is None
    assert tokens.open(signed.rsplit(".", 1)[0]) is None
    assert TestTokens(["old"]).open(signed) is None
    assert TestTokens(["newest", "new"]).open(signed) == target


@pytest.mark.parametrize("token", ["", "x", "é", "a.b", "." * 5000, "\x00"])
def test_a_test_token_that_is_none_is_refused(token: str) -> None:
    assert TestTokens(["key"]).open(token) is None


def test_the_links_of_a_test_letter_lead_where_the_campaigns_would() -> None:
    issue, settings = rich_week(), shop()
    tokens = TestTokens(["key"])
    full = content_of(issue, settings)
    content = content_of(issue, settings, "myeloma")
    links = TestLinks(doors_of(settings), tokens, 5, "week-04", full)
    rendered = render(content, settings, links, SLOTS)
    assert "/o/" not in rendered.html
    assert not {"/c/", "/u/", "/v/", "/p/"} & {href[21:24] for href in hrefs(parsed(rendered))}
    opened = set()
    for href in hrefs(parsed(rendered)):
        if "/t/" in href:
            target = tokens.open(href.rsplit("/", 1)[1])
            assert target
            assert target.revision_id == 5
            urls = urls_of(full, target.place)
            opened.add((target.place, urls[target.index] if urls else None))
    inert = {("view", None), ("leave", None), ("prefs", None)}
    assert opened == {(link.place, link.url) for link in link_places(content)} | inert


def test_the_places_of_a_test_letter_have_their_urls_in_order_or_none() -> None:
    full = content_of(rich_week(), shop())
    assert urls_of(full, "story:3") == ["https://source3.example.com/3"]
    assert urls_of(full, "story:99") == urls_of(full, "cta:2") == []


def test_filling_replaces_keys_and_nothing_that_resembles_them() -> None:
    text = "[[abcd2345:t]] [[abcd2345:n]] [[other234:t]] [[abcd2345:x]]"
    filled = fill(text, SLOTS, {Slot.TRACK: "T", Slot.NAME_HTML: "<b>"})
    assert filled == "T <b> [[other234:t]] [[abcd2345:x]]"


def test_longest_sizes_are_those_of_a_name_of_a_hundred_escaped_characters() -> None:
    assert longest_bytes(SLOTS.key(Slot.NAME_HTML), SLOTS) == 600
    assert longest_bytes(SLOTS.key(Slot.NAME_TEXT), SLOTS) == 400
    assert longest_bytes(SLOTS.key(Slot.TRACK), SLOTS) == 24


def test_a_sample_name_is_escaped_for_html_only() -> None:
    values = sample_values("A <b> & Co")
    assert values[Slot.NAME_HTML] == "A &lt;b&gt; &amp; Co"
    assert values[Slot.NAME_TEXT] == "A <b> & Co"
    assert sample_values()[Slot.NAME_HTML] == "you"
