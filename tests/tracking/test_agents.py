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
    "a browser in a terminal": "Lynx/2.9.0 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.8.3",
    "an old Opera": "Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18",
    "a phone whose name ends in bot": (
        f"Mozilla/5.0 (Linux; Android 9; CUBOT X18) AppleWebKit/537 {KHTML} Chrome/120.0 Mobile Safari/537"
    ),
}
MAIL_CLIENTS = [
    "Outlook-Android/2.0",
    "Outlook-iOS/2.0",
    "K-9 Mail/6.804",
    "Thunderbird/128.0",
    "eM Client/9.2.2093",
    "eMClient/10.0",
    "Spark/3.0.4 CFNetwork/978.0.7 Darwin/18.7.0",
    "SamsungEmail/6.1.90",
    "Evolution 3.52.3",
    "Postbox/7.0.60",
    "BlueMail/1.9.8",
    "Airmail/5.7 CFNetwork/1410.0.3 Darwin/22.6.0",
    "Apple Mail/16.0",
    "Newton/11.0",
    "Mailspring/1.13.3",
    "The Bat! 11.1",
    "Foxmail 7.2.25",
    "ProtonMail/4.0",
    "Proton Mail/4.0",
    "FairEmail/1.2200",
    "Canary/4.21",
    "AquaMail/1.50",
    "Nine/4.9.8 okhttp/4.12.0",
    "Geary/44.1",
    "KMail/6.0.2",
    "Claws Mail 4.2.0",
    "HCL Notes/12.0.2",
    "Lotus-Notes/6.0",
    "Windows Mail/16.0",
    "MailMaster/7.17",
    "YahooMobileMail/1.0 (Android Mail; 6.0.1)",
    "GmailMobile/2024.03",
]
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
    "a gateway in a mail program's clothes": ("Thunderbird/128.0 (Proofpoint)", "scanner/1"),
    "a robot in a mail program's clothes": ("Outlook-iOS/2.0 (linkbot)", "robot/1"),
    "a robot that names its library": (
        "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
        "robot/1",
    ),
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
    "a tool on a system named like a mail program": ("curl/8.10.1 (Alpine Linux)", "tool/1"),
    "a tool that names a mail program": ("python-requests/2.32.3 Thunderbird", "tool/1"),
    "half a mail program's name": ("Sparkling/1.0", "unknown-agent/1"),
    "Go": ("Go-http-client/1.1", "tool/1"),
    "a tool for downloads": ("aria2/1.36.0", "tool/1"),
    "a player of music": ("Winamp/5.8", "unknown-agent/1"),
    "a tool that ua-parser knows by name": ("Transmission/4.0", "unknown-agent/1"),
    "Java": ("Java/21.0.1", "tool/1"),
    "markup": ("<script>alert(1)</script>", "unknown-agent/1"),
    "a name of nobody": ("Mozilla/5.0 (compatible; Something)", "unknown-agent/1"),
}


@pytest.mark.parametrize("agent", PEOPLE.values(), ids=PEOPLE)
def test_browsers_and_mail_programs_are_people(agent: str) -> None:
    assert judge_agent(agent).verdict == "human"


@pytest.mark.parametrize("agent", MAIL_CLIENTS)
def test_mail_programs_that_give_nothing_but_a_name_are_people(agent: str) -> None:
    found = judge_agent(agent)
    assert found.verdict == "human"
    assert found.family


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
