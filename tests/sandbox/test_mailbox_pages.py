"""The mailbox in the browser: found, paged, shown as each reader sees it, and harmless."""

import re
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mailer.sandbox.frame import frame_policy, framed
from mailer.sandbox.options import QUIET
from mailer.sandbox.readers import play
from tests.sandbox.conftest import Desk, Receiver, mail, person

EVIL = "<script>document.title='gone'</script><img src=x onerror=alert(1)>\"'&{{ 97*1031 }}"


def page(desk: Desk, path: str, status: int = 200) -> str:
    answer = desk.request("GET", path)
    assert answer.status == status
    return answer.data.decode()


def first_id(desk: Desk) -> int:
    found: int = desk.messages()[0]["id"]
    return found


def test_an_empty_mailbox_says_how_to_fill_it(desk: Desk) -> None:
    text = page(desk, "/")
    assert desk.server.url in text
    assert desk.server.public_key.replace("+", "&#43;") in text or desk.server.public_key in text


def test_letters_are_listed_newest_first_fifty_a_page(desk: Desk) -> None:
    desk.send(mail(*(person(n) for n in range(120))))
    shown = [re.findall(r'class="who">([^<]+)<', page(desk, f"/?page={number}")) for number in (1, 2, 3)]
    assert [len(addresses) for addresses in shown] == [50, 50, 20]
    assert shown[0][0] == "reader119@example.com"
    assert len({address for addresses in shown for address in addresses}) == 120
    assert 'rel="next"' in page(desk, "/?page=2")
    assert re.findall(r'class="who">([^<]+)<', page(desk, "/?page=999")) == shown[2]
    assert re.findall(r'class="who">([^<]+)<', page(desk, "/?page=x%3Cb%3E")) == shown[0]


def test_times_are_those_of_the_newsletter_and_say_so(desk: Desk) -> None:
    desk.send(mail())
    at = datetime.fromtimestamp(desk.messages()[0]["received_at"], ZoneInfo("Europe/Paris"))
    for path in ("/", "/calls", f"/letters/{first_id(desk)}"):
        assert at.strftime("%H:%M:") in page(desk, path)
        assert "Times are those of Europe/Paris." in page(desk, path)


@pytest.mark.parametrize(
    ("search", "count"),
    [
        ("reader1", 11),
        ("READER1@", 1),
        ("week ada", 1),
        ("Ada", 1),
        ("100%", 0),
        ("_", 0),
        ("nothing", 0),
        ("'", 0),
    ],
)
def test_search_finds_addresses_subjects_and_names_by_every_word(desk: Desk, search: str, count: int) -> None:
    people = [person(n) for n in range(20)]
    people[7]["substitutions"] = {"[[k]]": "Ada"}
    desk.send(mail(*people))
    answer = desk.http.request("GET", desk.server.url + "/", fields={"q": search})
    assert answer.data.decode().count('class="who"') == count


def test_a_message_id_finds_its_letters(desk: Desk) -> None:
    wanted = desk.send(mail(person(1), person(2))).headers["X-Message-Id"]
    desk.send(mail(person(3)))
    assert page(desk, f"/?q={wanted}").count('class="who"') == 2
    assert wanted in page(desk, "/calls")


def test_the_versions_of_an_issue_are_one_click_apart(desk: Desk) -> None:
    desk.send(mail(*(person(n) for n in range(4)), subject="Cells & genes: 100% new"))
    desk.send(mail(person(9), subject="Antibodies"))
    links = re.findall(
        r'<a href="(/\?q=[^"]+)"', page(desk, "/").split('class="subjects"')[1].split("</nav>")[0]
    )
    assert [page(desk, link.replace("&amp;", "&")).count('class="who"') for link in links] == [1, 4]


def test_filters_show_what_became_of_letters(desk: Desk) -> None:
    desk.send(mail(*(person(n) for n in range(30))))
    play(desk.server, rates=QUIET.model_copy(update={"bounced": 0.5}))
    bounced = page(desk, "/?show=bounced").count('class="who"')
    delivered = page(desk, "/?show=delivered").count('class="who"')
    assert bounced + delivered == 30
    assert bounced > 5
    assert page(desk, "/?show=clicked").count('class="who"') == 0
    assert page(desk, "/?show=%27%3B--").count('class="who"') == 30


@pytest.mark.parametrize("view", ["letter", "text", "headers", "source", "events", "unknown"])
def test_every_view_of_a_letter_is_a_page(desk: Desk, view: str) -> None:
    desk.send(mail(person(1, headers={"X-Own": "mine"}, custom_args={"nl_a": "the-attempt"})))
    play(desk.server, rates=QUIET)
    text = page(desk, f"/letters/{first_id(desk)}?view={view}")
    expected = {
        "letter": "<iframe",
        "text": "Hello</pre>",
        "headers": "the-attempt",
        "source": "multipart/alternative",
        "events": "sg_event_id",
        "unknown": "<iframe",
    }
    assert expected[view] in text
    assert "reader1@example.com" in text


def test_neighbours_stay_within_the_search(desk: Desk) -> None:
    desk.send(mail(person(1), {"to": [{"email": "other@example.org"}]}, person(2)))
    first, other, last = (letter["id"] for letter in desk.messages())
    text = page(desk, f"/letters/{first}?q=reader")
    assert f"/letters/{last}?" in text
    assert f"/letters/{other}?" not in text


def test_a_letter_without_html_opens_as_text(desk: Desk) -> None:
    desk.send(mail(content=[{"type": "text/plain", "value": "Only words"}]))
    text = page(desk, f"/letters/{first_id(desk)}")
    assert "Only words" in text
    assert "<iframe" not in text
    page(desk, f"/letters/{first_id(desk)}/frame", status=404)


def test_a_letter_downloads_as_it_would_travel(desk: Desk) -> None:
    desk.send(mail())
    answer = desk.request("GET", f"/letters/{first_id(desk)}/source.eml")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.data.startswith(b"From: Weekly <editor@example.com>\r\n")


def test_what_is_not_there_is_404(desk: Desk) -> None:
    for path in ("/letters/999999", "/letters/999999/frame", "/letters/999999/source.eml", "/letters/x"):
        assert desk.request("GET", path).status == 404


# -- safety -----------------------------------------------------------------------------------------


def test_pages_and_frame_are_locked_down(desk: Desk) -> None:
    desk.send(mail())
    outer = desk.request("GET", f"/letters/{first_id(desk)}").headers
    assert "default-src 'none'" in outer["Content-Security-Policy"]
    assert "script-src" not in outer["Content-Security-Policy"]
    assert "unsafe-inline" not in outer["Content-Security-Policy"]
    assert "frame-src 'self'" in outer["Content-Security-Policy"]
    inner = desk.request("GET", f"/letters/{first_id(desk)}/frame").headers
    policy = inner["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'")
    for word in ("allow-scripts", "allow-same-origin", "allow-forms", "allow-top-navigation"):
        assert word not in policy
        assert word not in page(desk, f"/letters/{first_id(desk)}")
    assert "img-src data:;" in policy
    for headers in (outer, inner):
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_pictures_are_fetched_only_when_asked_for() -> None:
    assert "http:" not in frame_policy(with_images=False)
    assert "img-src data: http: https:;" in frame_policy(with_images=True)


class Tags(HTMLParser):
    """Every element and attribute of a page, as a browser would read them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def hostile(desk: Desk) -> int:
    answer = desk.send(
        mail(
            person(
                1,
                subject=EVIL,
                headers={"X-Evil": EVIL, "List-Unsubscribe": f"<javascript:{EVIL}>"},
                substitutions={EVIL: EVIL},
                custom_args={EVIL: EVIL, "nl_a": EVIL},
            ),
            **{"from": {"email": "editor@example.com", "name": EVIL}},
            reply_to={"email": "editor@example.com", "name": EVIL},
            categories=["<script>x</script>"],
            content=[
                {"type": "text/plain", "value": EVIL},
                {"type": "text/html", "value": f"<p>hi{EVIL}</p>"},
            ],
        )
    )
    assert answer.status == 202
    play(desk.server, rates=QUIET)
    return first_id(desk)


@pytest.mark.parametrize("view", ["list", "search", "letter", "text", "headers", "source", "events"])
def test_no_string_of_a_letter_becomes_markup_of_the_page(desk: Desk, view: str) -> None:
    number = hostile(desk)
    paths = {"list": "/", "search": "/?q=%3Cscript%3Ealert(1)%3C/script%3E%22%20onfocus=%22x"}
    text = page(desk, paths.get(view, f"/letters/{number}?view={view}"))
    tags = Tags(text).found
    assert "script" not in [tag for tag, _ in tags]
    assert "100007" not in text  # what a template would have made of it
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("href", "src"):
            assert not (attributes.get(name) or "").strip().casefold().startswith("javascript")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    import shutil

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium here")
    with sync.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


ATTACK = """
<html><head><base href="{far}/base/"><meta http-equiv="refresh" content="0;url={far}/refresh">
<link rel="stylesheet" href="{far}/style.css"></head>
<body onload="parent.document.title='gone'"><script>top.location='{far}/script'</script>
<a id="go" href="javascript:opener.document.title='gone'">go</a>
<form action="{here}/sandbox/reset" method="post"><button id="post">x</button></form>
<svg onload="alert(1)"></svg><img src="{far}/o/t.gif" onerror="alert(1)"><iframe src="{far}/frame"></iframe>
<p id="end" style="background:url({far}/background.png)">end</p></body></html>
"""


def test_a_real_browser_runs_and_fetches_nothing_of_a_hostile_letter(
    desk: Desk, receiver: Receiver, browser: Any
) -> None:
    attack = ATTACK.replace("{far}", receiver.url).replace("{here}", desk.server.url)
    desk.send(mail(subject=EVIL, content=[{"type": "text/html", "value": attack}]))
    context = browser.new_context()
    tab = context.new_page()
    dialogs: list[str] = []

    def refuse(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    tab.on("dialog", refuse)
    address = f"{desk.server.url}/letters/{first_id(desk)}"
    tab.goto(address)
    tab.wait_for_load_state("networkidle")
    inner = tab.frame_locator("iframe").first
    inner.locator("#go").click()
    inner.locator("#post").click()
    assert inner.locator("#end").inner_text() == "end"
    assert (tab.url, dialogs) == (address, [])
    assert tab.title().startswith(EVIL[:40])
    assert receiver.hits == []
    assert len(desk.messages()) == 1
    context.close()


def test_links_of_a_letter_open_in_a_tab_of_their_own(desk: Desk, browser: Any) -> None:
    target = f"{desk.server.url}/calls"
    desk.send(mail(content=[{"type": "text/html", "value": f'<a id=go href="{target}">go</a>'}]))
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{desk.server.url}/letters/{first_id(desk)}")
    with context.expect_page() as opened:
        tab.frame_locator("iframe").locator("#go").click()
    opened.value.wait_for_load_state()
    assert opened.value.url == target
    assert tab.url.endswith(f"/letters/{first_id(desk)}")
    context.close()


@pytest.mark.parametrize(
    ("theme", "colour"), [("dark", "rgb(1, 2, 3)"), ("light", "rgb(9, 9, 9)"), ("auto", "rgb(9, 9, 9)")]
)
def test_the_dark_switch_is_what_a_dark_mail_client_shows(
    desk: Desk, browser: Any, theme: str, colour: str
) -> None:
    html = (
        "<!doctype html><html><head><style>p{color:#090909}"
        "@media screen and ( prefers-color-scheme:dark ){p{color:#010203}}</style></head>"
        "<body><p>x</p></body></html>"
    )
    desk.send(mail(content=[{"type": "text/html", "value": html}]))
    context = browser.new_context(color_scheme="light", viewport={"width": 375, "height": 800})
    tab = context.new_page()
    tab.goto(f"{desk.server.url}/letters/{first_id(desk)}?theme={theme}&width=phone")
    found = tab.frame_locator("iframe").locator("p").evaluate("element => getComputedStyle(element).color")
    assert found == colour
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375
    context.close()


def test_a_letter_has_its_height_in_a_picture_of_any_size(desk: Desk, browser: Any) -> None:
    desk.send(mail())
    heights = []
    for window in (100, 800, 6000):
        tab = browser.new_page(viewport={"width": 1200, "height": window})
        tab.goto(f"{desk.server.url}/letters/{first_id(desk)}")
        heights.append(tab.locator("iframe").bounding_box()["height"])
        tab.close()
    assert heights[0] >= 560
    assert heights == heights[:1] * 3


def test_a_theme_is_forced_in_styles_and_media_only() -> None:
    letter = (
        "<!doctype html><html><head lang=en><style>@media (prefers-color-scheme: dark){a{}}"
        "@media (prefers-color-scheme:light){b{}}</style></head>"
        '<body>(prefers-color-scheme: dark)<source media="(prefers-color-scheme: dark)">'
        '<a href="#x">in</a></body>'
    )
    dark = framed(letter, "dark")
    assert dark.startswith('<!doctype html><html><head lang=en><base target="_blank">')
    assert "@media (min-width: 0px){a{}}@media (max-width: 0px){b{}}" in dark
    assert '<body>(prefers-color-scheme: dark)<source media="(min-width: 0px)">' in dark
    assert '<a target="_self" href="#x">' in dark
    assert "@media (max-width: 0px){a{}}" in framed(letter, "light")
    assert "@media (prefers-color-scheme: dark){a{}}" in framed(letter, "auto")
    assert framed("<p>bare</p>", "auto") == '<base target="_blank"><p>bare</p>'
