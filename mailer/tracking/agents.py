"""Who asks, as far as a User-Agent tells: a person's program, a machine's, or nobody knows.

Only the program's family is kept; the header itself is never stored. A User-Agent is what the asker
says of itself: it can convict a machine that admits to be one and can never prove a person alone.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from ua_parser import parse

from mailer.event_models import Verdict

# Written behind a rule's name; raised when a rule's meaning changes, so that old verdicts can be told.
RULES_VERSION = 1
# Longer headers are cut: real ones stay under 300 characters.
AGENT_MAX_CHARACTERS = 512
FAMILY_MAX_CHARACTERS = 40
# Distinct headers of one campaign are a few hundred; parsing one costs 0.7 ms.
CACHE_SIZE = 4096

# Apple Mail Privacy Protection fetches with exactly this, whether or not the mail is read.
APPLE_PREFETCH = "Mozilla/5.0"
# Gmail looks at links and images seconds after delivery with a browser that nobody runs any more.
GMAIL_SCAN = "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246"

# An image proxy fetches once for a person who opened, but says nothing of who or when.
_IMAGE_PROXY = re.compile(r"image[\s_-]*proxy|yahoomailproxy|ggpht\.com|imgproxy", re.IGNORECASE)

# Mail gateways and link checkers that give their name.
_SCANNER = re.compile(
    r"skypeuripreview|barracuda|linkprotect|proofpoint|urldefense|mimecast|messagelabs|symantec|"
    r"trend\s*micro|\btmufe\b|sophos|ironport|secure-web\.cisco|cisco\s*(?:secure|talos|umbrella)|"
    r"fireeye|trellix|mcafee|forcepoint|websense|zscaler|safe\s*links|atp\s*safe|defender|"
    r"bitdefender|kaspersky|\beset\b|f-?secure|withsecure|check\s*point|fortiguard|fortimail|"
    r"palo\s*alto|wildfire|\bvade\b|hornetsecurity|spamhaus|netcraft|virustotal|urlscan|"
    r"antivirus|link\s*(?:check|scan|preview)|url\s*(?:check|scan|preview)|uripreview|"
    r"mail\s*(?:scan|guard|security)|security\s*scan",
    re.IGNORECASE,
)
# Robots that call themselves one, whatever library they fetch with.
_ROBOT = re.compile(
    r"(?<!cu)bot\b|crawl|spider|slurp|headless|phantomjs|puppeteer|playwright|selenium|"
    r"facebookexternalhit|whatsapp|prerender|lighthouse",
    re.IGNORECASE,
)
# Who shows what robots show: what it is for, or the address of its own page.
_ROBOTS_WAY = re.compile(r"preview|fetcher|https?://|\+www\.", re.IGNORECASE)
# Libraries and command lines: a script of anybody, for anything.
_TOOL = re.compile(
    r"^(?:curl|wget|python|java|go-http|go\s|ruby|perl|php|lua|node|axios|got\b|undici|deno|bun/|okhttp|"
    r"apache|libwww|lwp|httpie|httpx|http_?client|aiohttp|urllib|requests|postman|insomnia|guzzle|"
    r"winhttp|microsoft url|microsoft-cryptoapi|powershell|dart|reqwest|hyper|scrapy|mechanize|faraday|"
    r"restsharp|jakarta|aria2|axel|lftp|httrack|rclone|yt-dlp|youtube-dl|xh/|dalvik|cfnetwork|rest-client|fasthttp|k6|wrk|ab/|siege|vegeta|locust)|"
    r"python-requests|python-urllib|go-http-client|libcurl|okhttp|apache-httpclient|node-fetch|"
    r"windowspowershell",
    re.IGNORECASE,
)
# Mail clients by the names they give themselves; ua-parser knows few of them.
_MAIL_CLIENTS = (
    "Airmail|Apple Mail|AppleMail|AquaMail|Aqua Mail|Betterbird|Blue Mail|BlueMail|Claws Mail|CloudMagic|"
    "Delta Chat|DeltaChat|Edison Mail|EdisonMail|eM Client|eMClient|Eudora|FairEmail|Foxmail|GmailMobile|"
    "GyazMail|HCL Notes|HCL Verse|IBM Notes|Incredimail|K-9|K9Mail|KMail|Kontact|Lotus Notes|Lotus-Notes|"
    "Mail Master|MailMaster|Mailbird|MailMate|Mailspring|Microsoft Outlook|Mimestream|MSOutlook|myMail|"
    "NeoMutt|Outlook Express|Outlook|Pegasus Mail|Polymail|Postbox|Proton Mail|ProtonMail|Readdle|"
    "Samsung Email|SamsungEmail|Superhuman|Sylpheed|The Bat|Thunderbird|Trojita|Tutanota|TypeApp|"
    "Windows Live Mail|Windows Mail|Windows-Mail|WindowsMail|Yahoo Mail|YahooMail|YahooMobileMail|"
    "Zoho Mail|ZohoMail"
)
# Names that are words of their own ("Apache Spark", "curl (Alpine Linux)"): as the first word only.
_MAIL_CLIENT_WORDS = (
    "Alpine|Balsa|Boxer|Canary|Edison|Evolution|Geary|Gmail|Hiri|Interlink|Missive|Mutt|Newton|Nine|Notes|"
    "Outlook|Proton|Shortwave|Spark|Tuta"
)
_MAIL_CLIENT = re.compile(
    rf"(?:(?<![\w-])(?:{_MAIL_CLIENTS})|^(?:{_MAIL_CLIENT_WORDS}))(?![A-Za-z])", re.IGNORECASE
)
# How browsers begin. What else ua-parser knows by name plays music, fetches files or reads feeds.
_BROWSER = re.compile(
    r"(?:Mozilla|Opera|Lynx|E?Links|UCWEB|Dillo|NetSurf|BlackBerry\w*|Nokia\w*|SAMSUNG)\b",
    re.IGNORECASE,
)
_FAMILY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/+()-]*")
# ua-parser's word for a device that is a robot.
_SPIDER = "Spider"


@dataclass(frozen=True, slots=True)
class AgentVerdict:
    """What the header alone says; `family` is safe to keep."""

    verdict: Verdict
    rule: str
    family: str


def rule_name(name: str) -> str:
    return f"{name}/{RULES_VERSION}"


@lru_cache(maxsize=CACHE_SIZE)
def judge_agent(agent: str) -> AgentVerdict:
    """The verdict of a User-Agent header; the first rule that fits decides."""
    text = agent[:AGENT_MAX_CHARACTERS].strip()
    if not text:
        return _said(Verdict.UNKNOWN, "no-agent", "")
    if text == APPLE_PREFETCH:
        return _said(Verdict.MACHINE, "apple-prefetch", "Apple Mail Privacy")
    if GMAIL_SCAN in text:
        return _said(Verdict.MACHINE, "gmail-scan", "Gmail scan")
    if _IMAGE_PROXY.search(text):
        return _said(Verdict.UNKNOWN, "image-proxy", "Image proxy")
    if _SCANNER.search(text):
        return _said(Verdict.MACHINE, "scanner", "Scanner")
    parsed = parse(text)
    family = _clean(parsed.user_agent.family if parsed.user_agent else "")
    if _ROBOT.search(text):
        return _said(Verdict.MACHINE, "robot", family or "Robot")
    client = _MAIL_CLIENT.search(text)
    # A client that begins with its own name may name the library it fetches with behind it.
    if _TOOL.search(text) and (client is None or client.start() > 0):
        return _said(Verdict.UNKNOWN, "tool", family or "Tool")
    is_spider = parsed.device is not None and parsed.device.family == _SPIDER
    if is_spider or _ROBOTS_WAY.search(text):
        return _said(Verdict.MACHINE, "robot", family or "Robot")
    if client is not None:
        return _said(Verdict.HUMAN, "reader-agent", _clean(client[0]) or family)
    if not family or not _BROWSER.match(text):
        return _said(Verdict.UNKNOWN, "unknown-agent", family)
    return _said(Verdict.HUMAN, "reader-agent", family)


def _said(verdict: Verdict, rule: str, family: str) -> AgentVerdict:
    return AgentVerdict(verdict, rule_name(rule), family)


def _clean(family: str) -> str:
    """A family may hold a piece of the header; only plain names pass."""
    cut = family[:FAMILY_MAX_CHARACTERS].strip()
    return cut if _FAMILY.fullmatch(cut) else ""
