"""Take the pictures of the README again: `python docs/pictures/take.py`; needs chromium and playwright.

Plays the demo into a temporary folder, then looks at one edition and at the results page.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from mailer.cli import output
from mailer.demo import play
from mailer.serving import web_of

HERE = Path(__file__).parent
TOPICS = ["car-t", "immunology"]
LETTER_WIDTH, LETTER_HEIGHT = 700, 1180
PAGE_WIDTH, PAGE_HEIGHT = 1280, 1500


def main() -> None:
    """Two PNG files beside this one."""
    output.as_json = True  # the demo plays silently
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        mailer = play.new_site(Path(folder) / "site")
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        with mailer, mailer.sandbox() as sandbox, web_of(mailer) as web:
            play.tell(mailer, sandbox)
            letter = Path(folder) / "edition.html"
            letter.write_text(mailer.preview(play.ISSUE, TOPICS).html, encoding="utf-8")
            _take(browser, letter.as_uri(), "edition.png", LETTER_WIDTH, LETTER_HEIGHT)
            _take(browser, f"{web.admin_url}/campaigns/1", "results.png", PAGE_WIDTH, PAGE_HEIGHT)
        browser.close()


def _take(browser: Browser, address: str, name: str, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.screenshot(path=HERE / name)
    page.close()


if __name__ == "__main__":
    main()
