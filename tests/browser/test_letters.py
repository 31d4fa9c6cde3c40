"""Letters as a real browser draws them: nothing sticks out on a phone, everything can be read.

Skipped where playwright (the extra `browser`) or a Chromium is missing.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from mailer.editions.render import render_preview
from mailer.issues.document import FrontMatter
from tests.editions.letters import content_of, letter, one_story, rich_week, shop
from tests.editions.makers import story

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

MINIMUM_CONTRAST = 4.5
PHONES = (320, 375)
LONG = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 4

# Every visible text with its colour and the ground under it, as WCAG contrast.
UNREADABLE = """
minimum => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
  const rgba = text => text.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b)
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor)
      if (colour.length < 4 || colour[3] > 0) return colour
    }
    return [255, 255, 255]
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const found = []
  let seen = 0
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement
    if (!texts.currentNode.data.replace(/\\u00a0/g, ' ').trim() || !element.checkVisibility()) continue
    const a = light(rgba(getComputedStyle(element).color)), b = light(ground(element))
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    seen++
    if (contrast < minimum) found.push([texts.currentNode.data.slice(0, 40), contrast])
  }
  return {seen, found}
}
"""
# Lines of contents entries that do not begin where the first one begins.
HANGING = """
() => [...document.querySelectorAll('a.ca')].map(link => {
  const lines = [...link.getClientRects()].map(line => Math.round(line.left))
  return {lines: lines.length, edges: new Set(lines).size}
})
"""


def letters() -> dict[str, str]:
    settings = shop()
    huge = {"title": LONG, "key_point": LONG, "context": LONG, "implication": LONG, "region": LONG}
    wordy = shop(newsletter={"name": LONG, "tagline": LONG, "postal_address": LONG})
    return {
        "whole": letter().html,
        "part": letter("immunology").html,
        "one long word": render_preview(one_story(wordy, **huge), wordy).html,
        "right to left": letter(
            settings=shop(newsletter={"language": "he", "name": "שבועון ההמטולוגיה"}),
            stories=[story(1, "אישור מהיר לטיפול חדש", key_point="תוצאות טובות.")],
            topics={1: ["car-t"]},
            front_matter=FrontMatter(subject="חדשות השבוע"),
        ).html,
        "yellow": letter(settings=shop(newsletter={"brand_colour": "#FFD400"})).html,
        "thirty": render_preview(
            content_of(
                rich_week(
                    stories=[story(n, f"Story number {n}") for n in range(1, 31)],
                    topics={n: ["car-t"] for n in range(1, 31)},
                ),
                settings,
            ),
            settings,
        ).html,
    }


LETTERS = letters()
# A word that would break at its hyphen, at every place of a line.
HYPHENATED = " ".join(f"{'x' * length} CAR-T" for length in range(1, 40))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        try:
            started = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium to look with: {str(error).splitlines()[0]}")
        yield started
        started.close()


def opened(browser: Any, html: str, *, width: int, scheme: str = "light") -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    # A letter must not need the network: nothing is let through.
    page.route("**/*", lambda route: route.abort())
    page.set_content(html, wait_until="domcontentloaded")
    return page


@pytest.mark.parametrize("name", LETTERS)
def test_nothing_sticks_out_on_a_phone(browser: Any, name: str) -> None:
    page = opened(browser, LETTERS[name], width=PHONES[0])
    for width in PHONES:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("width", [375, 700])
def test_a_short_word_with_a_hyphen_stays_on_one_line(browser: Any, width: int) -> None:
    settings = shop()
    texts = dict.fromkeys(("title", "key_point", "context", "implication"), HYPHENATED)
    page = opened(browser, render_preview(one_story(settings, **texts), settings).html, width=width)
    lines = page.evaluate(
        "[...document.querySelectorAll('span')].filter(e => e.textContent == 'CAR-T')"
        ".map(e => e.getClientRects().length)"
    )
    page.close()
    assert len(lines) >= 4 * 39
    assert set(lines) == {1}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", LETTERS)
def test_every_text_can_be_read(browser: Any, name: str, scheme: str) -> None:
    page = opened(browser, LETTERS[name], width=700, scheme=scheme)
    result = page.evaluate(UNREADABLE, MINIMUM_CONTRAST)
    page.close()
    assert result["seen"] > 12
    assert result["found"] == []


def test_outlooks_apps_draw_the_dark_letter(browser: Any) -> None:
    ground = "getComputedStyle(document.querySelector('.card')).backgroundColor"
    page = opened(browser, LETTERS["whole"], width=700, scheme="dark")
    dark = page.evaluate(ground)
    page.close()
    page = opened(browser, LETTERS["whole"], width=700)
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.evaluate("document.documentElement.setAttribute('data-ogsc', '')")
    assert page.evaluate(ground) == dark
    assert page.evaluate(UNREADABLE, MINIMUM_CONTRAST)["found"] == []
    page.close()


def test_wrapped_lines_of_the_contents_stay_beside_the_emoji(browser: Any) -> None:
    page = opened(browser, LETTERS["whole"], width=320)
    entries = page.evaluate(HANGING)
    page.close()
    assert any(entry["lines"] > 1 for entry in entries)
    assert all(entry["edges"] == 1 for entry in entries)


def test_the_headline_is_the_largest_text_on_a_phone_too(browser: Any) -> None:
    page = opened(browser, LETTERS["whole"], width=375)
    sizes = page.evaluate(
        "[...document.querySelectorAll('h1,h2')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    page.close()
    assert sizes[0] > max(sizes[1:])


def test_a_letter_in_another_direction_begins_at_the_right(browser: Any) -> None:
    page = opened(browser, LETTERS["right to left"], width=375)
    right = page.evaluate(
        "(() => { const range = document.createRange();"
        "range.selectNodeContents(document.querySelector('h1'));"
        "return range.getBoundingClientRect().right })()"
    )
    page.close()
    assert 375 - 24 <= right <= 375 - 16
