"""Text stays text on its way through Jinja, MJML and the inliner; the same letter every time."""

import re
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mjml import mjml2html

from mailer.config import Settings
from mailer.editions.links import CampaignLinks, fill, link_places, sample_values
from mailer.editions.render import RenderedEdition, render, render_preview
from mailer.issues.document import FrontMatter
from mailer.links import Slot, Slots, doors_of
from subscribers.errors import NewsletterError
from tests.editions.letters import (
    ATTACKS,
    content_of,
    flat,
    hrefs,
    letter,
    one_story,
    parsed,
    rich_week,
    shop,
)
from tests.editions.makers import entry, point, story

GMAIL_CLIPS_BYTES = 102_000
EIGHT_STORIES_BYTES = 70_000

# What the parser lets into an issue: no control characters, surrogates or unassigned ones.
issue_text = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]), min_size=1, max_size=60
)


def as_campaign(settings: Settings, *topics: str, **parts: Any) -> RenderedEdition:
    content = content_of(rich_week(**parts), settings, *topics)
    slots = Slots("abcd2345")
    ids = {(link.place, link.url): 900_000 + n for n, link in enumerate(link_places(content))}
    return render(content, settings, CampaignLinks(doors_of(settings), slots, ids, "week-04"), slots)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_an_editor_types_reaches_the_reader_as_it_is(attack: str) -> None:
    settings = shop()
    parts = {
        "stories": [
            story(1, attack, emoji="🛡️", key_point=attack, context=attack, implication=attack, region=attack)
        ],
        "topics": {1: ["car-t"]},
        "intro": (attack,),
        "why_it_matters": (point(attack, 1),),
        "faq": (entry(1, attack, 1, answer=(attack,)),),
        "keywords": (attack,),
        "references": ("https://source1.example.com/1",),
    }
    rendered = letter("car-t", settings=settings, **parts)
    tree = parsed(rendered)
    assert tree.xpath("string(//h2[@class='t1']/a)") == attack
    assert tree.xpath("string(//title)") == "Platelets behave, and six more"
    # Eleven parts of an issue carry it here, from the title to the list of references.
    shown = flat(" ".join(tree.xpath("//body//text()")))
    assert shown.count(flat(attack)) >= 11
    assert flat(rendered.text).count(flat(attack)) >= 11
    assert not tree.xpath("//script")
    assert "49" not in re.findall(r"\b49\b", rendered.text)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_subject_and_a_newsletter_may_be_called_anything(attack: str) -> None:
    settings = shop(newsletter={"name": attack, "tagline": attack, "postal_address": attack})
    rendered = letter(settings=settings, front_matter=FrontMatter(subject=attack, preheader=attack))
    tree = parsed(rendered)
    assert flat(tree.xpath("string(//title)")) == flat(attack)
    assert tree.xpath("string(//*[@class='wm'])") == attack
    assert attack in tree.xpath("string(//*[@role='article']/@aria-label)")
    assert rendered.text.startswith(attack)


@hypothesis_settings(max_examples=40, deadline=None)
@given(title=issue_text, key_point=issue_text)
def test_any_text_survives_in_html(title: str, key_point: str) -> None:
    tree = parsed(render_preview(one_story(shop(), title=title, key_point=key_point), shop()))
    assert tree.xpath("string(//h2[@class='t1']/a)") == title
    assert tree.xpath("string((//td[contains(@class, 'k1')])[1]/span)") == key_point


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_readers_name_is_printed_and_never_read(attack: str) -> None:
    settings = shop()
    rendered = render_preview(content_of(rich_week(), settings), settings, name=attack)
    assert f"This edition was made for {attack}." in flat(" ".join(parsed(rendered).xpath("//p//text()")))
    assert f"This edition was made for {attack}." in rendered.text


def test_a_reader_without_a_name_is_you() -> None:
    rendered = letter()
    assert "This edition was made for you." in rendered.html
    assert "This edition was made for you." in rendered.text


def test_emoji_and_accents_are_never_printed_as_escapes() -> None:
    settings = shop(newsletter={"name": "Blut & Plättchen 🛡️"})
    rendered = letter(settings=settings, front_matter=FrontMatter(subject="Schützt 🛡️", preheader="Größe"))
    for output in (rendered.html, rendered.text, rendered.mjml):
        assert "\\u{" not in output
        assert "xhold" not in output
    assert "<title>Schützt 🛡️</title>" in rendered.html


def test_the_mjml_is_a_document_of_its_own_with_the_texts_in_it() -> None:
    rendered = letter(stories=[story(1, attack) for attack in ATTACKS[:1]], topics={1: ["car-t"]})
    again = mjml2html(rendered.mjml, disable_comments=True, fonts={})
    assert "&lt;script&gt;" in again
    assert "<mj-" not in again
    assert again.count("<h1") == 1


def test_the_same_edition_has_the_same_bytes() -> None:
    assert letter("car-t", "myeloma") == letter("myeloma", "car-t")
    assert letter() == letter()


def test_a_preview_holds_no_key_and_no_hole() -> None:
    rendered = letter("car-t")
    for output in (rendered.html, rendered.text, rendered.mjml):
        assert "[[" not in output
        assert "None" not in output


def test_a_preview_is_a_campaign_with_sample_tokens() -> None:
    settings = shop()
    sent = as_campaign(settings, "car-t")
    content = content_of(rich_week(), settings, "car-t")
    filled = fill(sent.html, Slots("abcd2345"), sample_values())
    ids = {900_000 + n: n + 1 for n, _ in enumerate(link_places(content))}
    renumbered = re.sub(r"/(9000\d\d)\"", lambda id: f'/{ids[int(id[1])]}"', filled)
    assert renumbered == letter("car-t", settings=settings).html


def test_sizes_count_every_slot_at_its_longest() -> None:
    sent = as_campaign(shop())
    key = len(Slots("abcd2345").key(Slot.TRACK))
    tokens = len(re.findall(r"\[\[abcd2345:[tvup]\]\]", sent.html))
    assert sent.html.count(Slots("abcd2345").key(Slot.NAME_HTML)) == 1
    assert sent.html_bytes == len(sent.html.encode()) + tokens * (24 - key) + (600 - key)
    tokens = len(re.findall(r"\[\[abcd2345:[tvup]\]\]", sent.text))
    assert sent.text_bytes == len(sent.text.encode()) + tokens * (24 - key) + (400 - key)


def test_eight_stories_stay_far_below_what_gmail_clips() -> None:
    long = shop(web={"base_url": "https://newsletter.hematology.example.com"})
    assert as_campaign(long).html_bytes < EIGHT_STORIES_BYTES < GMAIL_CLIPS_BYTES


@pytest.mark.parametrize("topics", [(), ("car-t",), ("myeloma", "immunology")])
def test_html_and_text_lead_to_the_same_places(topics: tuple[str, ...]) -> None:
    rendered = letter(*topics)
    in_text = set(re.findall(r"https?://[^\s)]+", rendered.text))
    assert set(hrefs(parsed(rendered))) == in_text


@pytest.mark.parametrize("topics", [(), ("car-t",), ("myeloma", "immunology")])
def test_html_and_text_tell_the_same_stories(topics: tuple[str, ...]) -> None:
    settings = shop()
    content = content_of(rich_week(), settings, *topics)
    rendered = render_preview(content, settings)
    tree, text = parsed(rendered), flat(rendered.text)
    shown = [title.xpath("string(a)") for title in tree.xpath("//h2[@class='t1' or @class='t2']")]
    assert shown == [story.title for story in content.stories]
    for shown_story in content.stories:
        for part in (shown_story.title, shown_story.context, shown_story.implication):
            assert part
            assert part in text
            assert part in flat(" ".join(tree.xpath("//body//text()")))


def test_the_issues_own_links_all_go_through_the_click_door() -> None:
    settings = shop()
    rendered = as_campaign(settings, "car-t")
    direct = {
        f"{settings.web.base_url}/subscribe",
        f"{settings.web.base_url}/archive/week-04",
        settings.newsletter.imprint_url,
        settings.newsletter.privacy_url,
    }
    own = {door: f"{settings.web.base_url}/{door}/[[abcd2345:{door}]]" for door in "vup"}
    for href in hrefs(parsed(rendered)):
        assert href in direct or href in own.values() or "/c/[[abcd2345:t]]/9000" in href
    assert "source1.example.com/" not in rendered.html
    assert "source1.example.com/" not in rendered.text


def test_a_part_of_the_issue_says_how_much_it_is() -> None:
    rendered = letter("immunology")
    sentence = "2 of this week's 8 stories match your topics, 1 is for everyone · see all 8"
    assert sentence in flat(" ".join(parsed(rendered).xpath("//p//text()"))).replace(" , ", ", ")
    assert sentence in flat(rendered.text)
    assert parsed(rendered).xpath("//a[text()='see all 8']/@href") == [
        "http://127.0.0.1:8000/archive/week-04"
    ]
    assert "see all" not in letter().html


def test_one_story_is_said_in_the_singular() -> None:
    rendered = letter("x-only", stories=[story(1), story(2)], topics={1: ["x-only"], 2: ["car-t"]})
    assert "1 of this week's 2 stories matches your topics · see all 2" in flat(rendered.text)


def test_the_lead_is_the_first_story_that_was_chosen() -> None:
    whole, part = parsed(letter()), parsed(letter("immunology"))
    assert whole.xpath("string(//h2[@class='t1']/a)").endswith("number 1")
    assert part.xpath("string(//h2[@class='t1']/a)").endswith("number 7")
    assert "For everyone" in part.xpath("string(//h2[@class='t2'][1]/preceding-sibling::p[@class='s'])")


def test_topics_are_named_on_stories_and_never_in_the_footer() -> None:
    rendered = letter("car-t")
    footer = " ".join(parsed(rendered).xpath("//div[@class='foot']//text()"))
    assert "topics you chose" in footer
    assert "CAR-T" not in footer
    assert "CAR-T" in rendered.html
    assert not [href for href in hrefs(parsed(rendered)) if "car-t" in href.lower()]


def test_a_call_to_action_without_a_target_is_left_out() -> None:
    rendered = letter()
    assert "A line that leads nowhere" not in rendered.html + rendered.text
    assert "Unsure? Talk to us" in rendered.html
    assert "Unsure? Talk to us" in rendered.text


def test_every_url_of_a_story_is_listed_by_its_host() -> None:
    urls = ("https://www.example.org/a", "https://example.com/b", "https://example.com/c")
    rendered = render_preview(one_story(shop(), urls=urls), shop())
    names = [flat(name.text_content()) for name in parsed(rendered).xpath("//p[@class='read']/a")]
    assert names == ["Read at example.org", "example.com (1)", "example.com (2)"]
    assert len(set(re.findall(r"/c/\S+", rendered.text))) >= 3


def test_a_story_may_be_nothing_but_a_title() -> None:
    rendered = render_preview(one_story(shop(), urls=(), citations=()), shop())
    tree = parsed(rendered)
    assert tree.xpath("string(//h2[@class='t1'])") == "Story number 1"
    assert not tree.xpath("//h2[@class='t1']/a")
    assert "Key point" not in rendered.html + rendered.text


def write(settings: Settings, name: str, text: str) -> None:
    file = settings.path("templates") / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_site_changes_one_template_and_keeps_the_others(settings: Settings) -> None:
    write(settings, "email/edition.txt.j2", "Ours: {{ letter.subject }}")
    rendered = render_preview(one_story(settings, title="Fine & dandy"), settings)
    assert rendered.text == "Ours: Fine & dandy"
    assert "Fine &amp; dandy" in rendered.html


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ letter.nobody }}", "nobody"),
        ("{% if %}", "Expected an expression"),
        ("{{ letter.subject.__class__ }}", "__class__"),
        ("{{ letter.stories + 1 }}", "can only concatenate"),
        ("<mjml><mj-body><mj-section><p></mj-section></mj-body></mjml>", "valid MJML"),
        ("<mjml><mj-body><mj-section><mj-colum>x</mj-colum></mj-section></mj-body></mjml>", "mj-colum"),
        ("<mjml><mj-head><mj-title>🛡️</mj-title></mj-head><mj-body></mj-body></mjml>", "attribute"),
    ],
)
def test_a_fault_in_a_sites_template_is_said_with_its_file(
    settings: Settings, template: str, message: str
) -> None:
    write(settings, "email/edition.mjml.j2", template)
    with pytest.raises(NewsletterError, match=re.escape(message)) as refused:
        render_preview(one_story(settings), settings)
    assert "edition.mjml.j2" in str(refused.value)
    assert refused.value.cure


def test_fixed_words_can_be_translated(settings: Settings, tmp_path: Path) -> None:
    german = settings.model_copy(
        update={"newsletter": settings.newsletter.model_copy(update={"language": "de-AT"})}
    )
    catalogue = Catalog("de")
    catalogue.add("Unsubscribe", "Abbestellen, bitte")
    catalogue.add(("%(count)s story", "%(count)s stories"), ("%(count)s Meldung", "%(count)s Meldungen"))
    folder = tmp_path / "locale" / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "mailer.mo").open("wb") as file:
        write_mo(file, catalogue)
    rendered = render_preview(one_story(german), german)
    assert "Abbestellen, bitte" in rendered.html
    assert "Abbestellen, bitte" in rendered.text
    assert "1 Meldung ·" in rendered.text
    assert parsed(rendered).get("lang") == "de-AT"
