import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.tracking.agents import FAMILY_MAX_CHARACTERS, judge_agent

KHTML = "(KHTML, like Gecko)"
CHROME = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 {KHTML} Chrome/141.0.0.0 Safari/537.36"
)
EDGE = CHROME + " Edg/141.0.0.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.1 Safari/605.1.15"
)

PEOPLE = {
    "Chrome": CHROME,
    "Edge": EDGE,
    "Safari": SAFARI,
    "Firefox": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "iPhone mail": f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 Mac OS X) AppleWebKit/605 {KHTML} Mobile/15E",
    "Apple Mail": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Outlook": "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)",
    "old Outlook": "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Trident/7.0; Microsoft Outlook 16.0)",
    "Outlook on a phone": "Outlook-iOS/729.2222.prod.iphone (3.24.0)",
    "Thunderbird": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.6.0",
    "a phone whose name ends in bot": (
        f"Mozilla/5.0 (Linux; Android 9; CUBOT X18) AppleWebKit/537 {KHTML} Chrome/120.0 Mobile Safari/537"
    ),
}
MACHINES = {
    "Apple's prefetch": ("Mozilla/5.0", "apple-prefetch/1"),
    "Gmail at delivery": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
        "gmail-scan/1",
    ),
    "Skype's preview": ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", "scanner/1"),
    "Barracuda": ("BarracudaCentral/1.0", "scanner/1"),
    "a gateway in a browser's clothes": (CHROME + " Mimecast/2.0", "scanner/1"),
    "Googlebot": ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "robot/1"),
    "a headless browser": (CHROME.replace("Chrome/", "HeadlessChrome/"), "robot/1"),
    "a robot nobody knows": ("Mozilla/5.0 (compatible; Fetcher/1.0; +https://scan.example.org)", "robot/1"),
}
UNKNOWN = {
    "none": ("", "no-agent/1"),
    "blank": ("   ", "no-agent/1"),
    "Gmail's proxy": (
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "image-proxy/1",
    ),
    "Yahoo's proxy": (
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        "image-proxy/1",
    ),
    "curl": ("curl/8.10.1", "tool/1"),
    "requests": ("python-requests/2.32.3", "tool/1"),
    "Go": ("Go-http-client/1.1", "tool/1"),
    "Java": ("Java/21.0.1", "tool/1"),
    "markup": ("<script>alert(1)</script>", "unknown-agent/1"),
    "a name of nobody": ("Mozilla/5.0 (compatible; Something)", "unknown-agent/1"),
}


@pytest.mark.parametrize("agent", PEOPLE.values(), ids=PEOPLE)
def test_browsers_and_mail_programs_are_people(agent: str) -> None:
    assert judge_agent(agent).verdict == "human"


@pytest.mark.parametrize(("agent", "rule"), MACHINES.values(), ids=MACHINES)
def test_known_machines_are_machines(agent: str, rule: str) -> None:
    found = judge_agent(agent)
    assert (found.verdict, found.rule) == ("machine", rule)


@pytest.mark.parametrize(("agent", "rule"), UNKNOWN.values(), ids=UNKNOWN)
def test_proxies_tools_and_silence_are_unclear(agent: str, rule: str) -> None:
    found = judge_agent(agent)
    assert (found.verdict, found.rule) == ("unknown", rule)


@given(st.text(max_size=700))
def test_any_header_is_judged_and_little_of_it_is_kept(agent: str) -> None:
    found = judge_agent(agent)
    assert found.rule.endswith("/1")
    assert len(found.family) <= FAMILY_MAX_CHARACTERS
    assert not set(found.family) & set("<>&\"'@")
