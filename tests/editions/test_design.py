"""What every letter must be for every mail client, checked on the HTML that leaves the house."""

import itertools
import re
from collections import Counter
from typing import Any

import pytest
from lxml import etree
from lxml.cssselect import CSSSelector

from mailer.config import Settings
from mailer.editions.colours import contrast
from mailer.editions.compose import compose
from mailer.editions.render import RenderedEdition, render_preview
from mailer.editions.select import select
from mailer.templates import direction, language_tag
from tests.editions.cascade import dark_rules, declared_colours, outlook_rules, painted, style_blocks
from tests.editions.letters import letter, one_story, parsed, rich_week, shop
from tests.editions.makers import TOPICS
from tests.editions.makers import story as made_story

GMAIL_READS_STYLE_BYTES = 8_192
MINIMUM_CONTRAST = 4.5

LETTERS = {
    "whole": lambda: letter(),
    "part": lambda: letter("immunology"),
    "with a logo": lambda: letter(settings=shop(newsletter={"logo_url": "https://www.example.com/logo.png"})),
    "bare": lambda: render_preview(one_story(shop(), urls=(), citations=()), shop()),
    "right to left": lambda: letter(settings=shop(newsletter={"language": "he"})),
}
BRANDS = ("#1D4ED8", "#FFD400", "#FFFFFF", "#000000", "#777777", "#00FF00", "#FF0000", "#0F766E", "#FF69B4")


@pytest.fixture(params=LETTERS)
def rendered(request: pytest.FixtureRequest) -> RenderedEdition:
    made: RenderedEdition = LETTERS[request.param]()
    return made


@pytest.fixture
def tree(rendered: RenderedEdition) -> Any:
    return parsed(rendered)


def test_the_doctype_survives_the_inliner(rendered: RenderedEdition) -> None:
    assert rendered.html.startswith("<!DOCTYPE html>")


def test_outlook_on_windows_keeps_its_comments(rendered: RenderedEdition) -> None:
    assert rendered.html.count("<!--[if mso") == rendered.html.count("<![endif]-->") - rendered.html.count(
        "<!--[if !mso"
    ) - rendered.html.count("<!--[if lte")
    assert '<!--[if mso | IE]><table border="0"' in rendered.html
    assert "<!--[if !mso]><!-->" in rendered.html


def test_rules_for_phones_and_dark_mode_keep_their_weight(rendered: RenderedEdition) -> None:
    css = style_blocks(rendered.html)
    for query in ("max-width:479px", "prefers-color-scheme:dark"):
        block = css[css.index(query) :]
        assert "!important" in block[: block.index("\n}")]
    assert ":root{color-scheme:light dark" in css
    assert "[data-ogsc] .card" in css


def test_outlooks_apps_get_the_same_dark_rules(rendered: RenderedEdition) -> None:
    of_media = [rule for rule in dark_rules(rendered.html) if rule[0] != "body"]
    assert of_media == outlook_rules(rendered.html)
    assert len(of_media) > 15


def test_the_style_blocks_are_small_enough_for_gmail() -> None:
    topics = {f"topic-{n}": {"name": f"Topic number {n}"} for n in range(12)}
    made = rich_week(topics={n: [f"topic-{n}", f"topic-{n + 4}"] for n in range(1, 8)})
    settings = shop(topics=topics)
    selection = select(made, None, settings)
    assert selection
    html = render_preview(compose(made, selection, settings), settings).html
    assert len(style_blocks(html).encode()) < GMAIL_READS_STYLE_BYTES


def test_our_own_rules_are_inlined_for_clients_that_read_no_style_block(tree: Any) -> None:
    for name in ("h1", "wm", "fw", "fb", "panel"):
        for element in tree.xpath(f"//body//*[contains(concat(' ', @class, ' '), ' {name} ')]"):
            assert element.get("style"), name


def test_no_mjml_is_left(rendered: RenderedEdition) -> None:
    assert "<mj-" not in rendered.html
    assert "data-premailer" not in rendered.html


@pytest.mark.parametrize(
    ("language", "tag", "way"),
    [
        ("en", "en", "ltr"),
        ("fr-CA", "fr-CA", "ltr"),
        ("pt_BR", "pt-BR", "ltr"),
        ("he", "he", "rtl"),
        ("ar-EG", "ar-EG", "rtl"),
        ("", "en", "ltr"),
        ("und", "en", "ltr"),
        ("klingon", "en", "ltr"),
    ],
)
def test_language_and_direction_are_said_and_never_undetermined(language: str, tag: str, way: str) -> None:
    assert (language_tag(language), direction(language)) == (tag, way)
    tree = parsed(letter(settings=shop(newsletter={"language": language})))
    wrapper = tree.xpath("//*[@role='article']")[0]
    for element in (tree, wrapper):
        assert (element.get("lang"), element.get("dir")) == (tag, way)
    other = {"ltr": "rtl", "rtl": "ltr"}[way]
    assert f"direction:{other}" not in etree.tostring(tree).decode()


def test_lines_begin_where_the_language_begins() -> None:
    html = letter(settings=shop(newsletter={"language": "ar"})).html
    assert "border-right:3px solid" in html
    assert "border-left:3px solid" not in html
    assert "border-left:3px solid" in letter().html


def test_a_text_of_another_direction_finds_its_own(tree: Any) -> None:
    for element in tree.xpath("//h1 | //h2[@class='t1' or @class='t2'] | //h3"):
        assert element.get("dir") == "auto" or element.get("class") == "h3"


def test_layout_tables_say_that_they_are_no_data(tree: Any) -> None:
    assert tree.xpath("//table")
    for table in tree.xpath("//table"):
        assert table.get("role") == "presentation"
    assert not tree.xpath("//th | //caption")


def test_there_is_one_headline_and_no_level_is_skipped(tree: Any) -> None:
    levels = [int(heading.tag[1]) for heading in tree.xpath("//h1 | //h2 | //h3 | //h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_picture_has_a_text_and_a_size(tree: Any) -> None:
    pictures = tree.xpath("//img")
    assert pictures
    for picture in pictures:
        assert picture.get("alt") is not None
        assert picture.get("width").isdigit()
    pixel = pictures[-1]
    assert (pixel.get("alt"), pixel.get("width"), pixel.get("height")) == ("", "1", "1")


def test_no_picture_font_or_script_is_needed(rendered: RenderedEdition, tree: Any) -> None:
    logo = [src for src in tree.xpath("//img/@src") if "/o/" not in src]
    assert all(src == "https://www.example.com/logo.png" for src in logo)
    assert not tree.xpath("//link | //script | //form | //iframe | //svg | //video")
    assert "@import" not in rendered.html
    assert "@font-face" not in rendered.html
    assert "url(" not in rendered.html


def test_head_says_charset_viewport_schemes_and_title(tree: Any) -> None:
    names = {meta.get("name"): meta.get("content") for meta in tree.xpath("//head/meta")}
    assert names["color-scheme"] == names["supported-color-schemes"] == "light dark"
    assert "user-scalable" not in names["viewport"]
    assert tree.xpath("//head/meta[contains(@content, 'charset=UTF-8')]")
    assert tree.xpath("string(//head/title)").strip()


def test_links_are_underlined_and_say_where_they_lead(tree: Any) -> None:
    links = tree.xpath("//a[@href]")
    told: Counter[tuple[str, str]] = Counter()
    for link in links:
        assert "text-decoration:none" not in link.get("style", "").replace(" ", "")
        words = link.get("aria-label") or link.text_content()
        assert words.strip()
        told[words.strip(), link.get("href")] += 1
    words_of_two = Counter(words for words, href in told if not href.startswith("#") and "/c/" in href)
    doubled = {words for words, count in words_of_two.items() if count > 1}
    assert not {words for words in doubled if words.startswith("Read at")}


def test_running_text_has_sixteen_pixels_and_nothing_less_than_twelve(rendered: RenderedEdition) -> None:
    body = rendered.html[rendered.html.index("<body") :]
    sizes = [int(size) for size in re.findall(r"font-size:(\d+)px", body)]
    assert min(size for size in sizes if size > 1) >= 12
    tree = parsed(rendered)
    for paragraph in tree.xpath("//p[@class='p' or @class='q' or @class='read']"):
        assert "font-size" not in paragraph.get("style", "")
    for block in tree.xpath("//td[@class='b']/div"):
        assert "font-size:16px" in block.get("style")


def test_the_contents_list_hangs_and_reads_without_anchors(tree: Any) -> None:
    stories = tree.xpath("//h2[@class='t1' or @class='t2']")
    entries = tree.xpath("//a[@class='ca' and starts-with(@href, '#')]")
    assert len(entries) == (len(stories) if len(stories) > 1 else 0)
    for link in entries:
        assert tree.xpath(f"//a[@name='{link.get('href')[1:]}' and @id='{link.get('href')[1:]}']")
        row = link.getparent().getparent()
        assert [cell.get("class") for cell in row] == ["ci", "cl"]


def test_the_key_point_comes_first(tree: Any) -> None:
    for story in tree.xpath("//h2[@class='t1' or @class='t2']/.."):
        words = story.text_content()
        if "Key point:" in words:
            assert words.index("Key point:") < words.index("Context:") < words.index("Implication:")


def test_the_footer_says_why_and_offers_every_way_out(rendered: RenderedEdition, tree: Any) -> None:
    footer = tree.xpath("//div[@class='foot']")[0]
    words = footer.text_content()
    assert "You receive this edition because" in words
    assert "1 Example Street, London" in words
    assert "Got this from a colleague? Subscribe" in words
    links = {link.text_content(): link.get("href") for link in footer.iter("a")}
    base = "http://127.0.0.1:8000"
    assert links == {
        "Change topics": f"{base}/p/sample-pref-opens-nought",
        "Unsubscribe": f"{base}/u/sample-exit-opens-nought",
        "Subscribe": f"{base}/subscribe",
        "Imprint": "https://www.example.com/imprint",
        "Privacy": "https://www.example.com/privacy",
        "View in browser": f"{base}/v/sample-view-opens-nought",
    }
    assert rendered.html.count("View in browser") == 2


def test_there_is_one_filled_button_at_most(tree: Any) -> None:
    assert len(tree.xpath("//td[contains(@class, 'btn')]")) <= 1


def test_a_preview_text_comes_first_and_nothing_of_the_letter_follows_it(tree: Any) -> None:
    article = tree.xpath("//*[@role='article']")[0]
    hidden = next(child for child in article if isinstance(child.tag, str))
    assert "display:none" in hidden.get("style")
    assert len(hidden.text) >= 90


def check_contrast(html: str, tree: Any, rules: list[tuple[str, dict[str, str]]]) -> None:
    texts = list(painted(tree, rules))
    assert len(texts) > 12
    for text in texts:
        assert contrast(text.colour, text.ground) >= MINIMUM_CONTRAST, (html[:15], text)


def test_every_text_can_be_read_in_light_and_dark(rendered: RenderedEdition, tree: Any) -> None:
    check_contrast(rendered.html, tree, [])
    check_contrast(rendered.html, tree, dark_rules(rendered.html))


@pytest.mark.parametrize("brand", BRANDS)
def test_every_text_can_be_read_whatever_the_brand_colour(brand: str) -> None:
    loud = {slug: topic | {"chip": brand, "chip_ground": brand} for slug, topic in TOPICS.items()}
    rendered = letter("car-t", settings=shop(newsletter={"brand_colour": brand}, topics=loud))
    check_contrast(rendered.html, parsed(rendered), [])
    check_contrast(rendered.html, parsed(rendered), dark_rules(rendered.html))


def test_every_ground_and_text_colour_changes_at_night(rendered: RenderedEdition, tree: Any) -> None:
    changed: dict[Any, set[str]] = {}
    for selectors, declared in dark_rules(rendered.html):
        for element in CSSSelector(selectors)(tree):
            changed.setdefault(element, set()).update(declared)
    for element in tree.xpath("//body | //body//*[@style]"):
        style = element.get("style")
        if "display:none" in style:
            continue
        for name in declared_colours(style):
            assert name in changed.get(element, set()), (element.tag, element.get("class"), name)


def test_a_logo_stands_in_for_the_mark() -> None:
    tree = parsed(LETTERS["with a logo"]())
    logo = tree.xpath("//img[@src='https://www.example.com/logo.png']")[0]
    assert (logo.get("width"), logo.get("alt")) == ("48", "Hematology Weekly")
    assert not tree.xpath("//td[@class='mark']")
    assert parsed(letter()).xpath("string(//td[@class='mark'])") == "HW"


def test_lines_without_an_address_or_date_leave_no_trace(settings: Settings) -> None:
    bare = shop(newsletter={"postal_address": "", "imprint_url": "", "privacy_url": "", "tagline": ""})
    html = render_preview(one_story(bare), bare).html
    for word in ("Imprint", "Privacy", "None", "References</h2></td>"):
        assert word not in html
    assert 'href=""' not in html


@pytest.mark.parametrize("word", ["CAR-T", "anti-CD38", "T-cell", "pre-B-ALL"])
def test_short_words_with_a_hyphen_are_held_together(word: str) -> None:
    told = f"A <b>{word}</b> study & more"
    told_story = made_story(1, told, key_point=told, context=told)
    shown = letter(intro=(told,), stories=[told_story], topics={1: ["car-t"]}).html
    held = f'A &lt;b&gt;<span style="white-space:nowrap">{word}</span>&lt;/b&gt; study &amp; more'
    assert shown.count(held) >= 4


@pytest.mark.parametrize("word", ["BCMA-directed", "well-known", "Waldenstroem-Erkrankung"])
def test_longer_compounds_may_break_so_that_they_fit_a_phone(word: str) -> None:
    assert "white-space:nowrap" not in letter(intro=(f"A {word} study.",)).html.partition(word)[0][-60:]
