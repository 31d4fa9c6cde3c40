"""Letters that are no edition, as a real browser draws them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mailer.insight.notices import Notice
from mailer.service import alert_letter, live
from subscribers.addresses import parse_address
from tests.browser.test_letters import MINIMUM_CONTRAST, PHONES, UNREADABLE, browser, opened
from tests.editions.letters import shop

__all__ = ["browser"]

AT = datetime(2026, 4, 10, 5, 31, tzinfo=UTC)
LONG = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 4


def alert(*said: str, **newsletter: Any) -> str:
    told = [
        Notice(number, "paused", f"campaign {number}", number, each, "'mailer resume 3'", AT, None)
        for number, each in enumerate(said, 1)
    ]
    settings = shop(newsletter=newsletter, alerts={"email": "operator@example.org"})
    return str(alert_letter.call_of(told, settings).body["content"][1]["value"])


LETTERS = {
    "one": alert("Campaign 3 (week-15) is paused: SendGrid refused the key (401)."),
    "two": alert("Campaign 3 is paused.", "Less than 500 MB are free."),
    "one long word": alert(LONG, LONG, name=LONG),
    "right to left": alert("Campaign 3 is paused.", language="he"),
    "yellow": alert("Campaign 3 is paused.", brand_colour="#FFD400"),
    "live": live.call_of([parse_address("ada@example.org"), parse_address("bela@example.org")], shop()).body[
        "content"
    ][1]["value"],
}


@pytest.mark.parametrize("name", LETTERS)
def test_nothing_of_a_single_letter_sticks_out_on_a_phone(browser: Any, name: str) -> None:
    page = opened(browser, LETTERS[name], width=PHONES[0])
    for width in PHONES:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", LETTERS)
def test_every_text_of_a_single_letter_can_be_read(browser: Any, name: str, scheme: str) -> None:
    page = opened(browser, LETTERS[name], width=700, scheme=scheme)
    result = page.evaluate(UNREADABLE, MINIMUM_CONTRAST)
    page.close()
    assert result["seen"] > 6
    assert result["found"] == []
