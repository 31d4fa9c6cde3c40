"""What one reader's programs ask for, and asking it: pixels, links, one-click leaving, a gateway's scan.

Only addresses on this machine are asked; redirects are not followed, since they lead elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import urllib3

from mailer.sandbox.letter_links import ONE_CLICK, LetterLinks, is_on_this_machine
from mailer.sandbox.people import Opens, Reader
from mailer.sandbox.rounds import Round

# A person's links lie further apart than the two seconds within which several are a machine's.
PAUSE_SECONDS = 2.5
ASK_SECONDS = 5.0

BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.4 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.4 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Mobile Safari/537.36",
)
MAIL_CLIENTS = (
    *BROWSERS,
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.2.0",
)
APPLE_PROXY = "Mozilla/5.0"
GOOGLE_PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
# A gateway does not give its name.
GATEWAY = BROWSERS[0]


@dataclass(frozen=True, slots=True)
class Actor:
    """A reader with a letter in hand; `is_measured`: its links carry a token of its own."""

    letter_id: int
    email: str
    person: Reader
    links: LetterLinks
    is_measured: bool = False

    @property
    def has_several_links(self) -> bool:
        return sum(map(is_on_this_machine, self.links.counted)) > 1


@dataclass(frozen=True, slots=True)
class Act:
    """One request to come: `at` seconds after the round began; `verdict` is what it deserves."""

    at: float
    letter_id: int
    email: str
    kind: str  # open, click, head, visit, leave
    verdict: str  # human, machine, unknown; a leave has none
    method: str
    url: str
    agent: str
    is_measured: bool
    body: str = ""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    """An act done, and its status; None when no answer came."""

    act: Act
    status: int | None

    @property
    def is_answered(self) -> bool:
        return self.status is not None and self.status < 400


def errand_of(actor: Actor, spread_seconds: float) -> tuple[Act, ...]:
    """What a person does with a letter, in order."""
    person, links = actor.person, actor.links
    begin = person.draw * spread_seconds
    browser = BROWSERS[int(person.draw * 1000) % len(BROWSERS)]
    acts: list[Act] = []
    if person.opens is not Opens.NOT and links.pixel:
        agent = {
            Opens.PERSON: MAIL_CLIENTS[int(person.draw * 1000) % len(MAIL_CLIENTS)],
            Opens.APPLE: APPLE_PROXY,
            Opens.PROXY: GOOGLE_PROXY,
        }[person.opens]
        acts.append(_get(actor, begin, "open", person.opens.value, links.pixel, agent))
    room = 1 + int((spread_seconds - begin) / PAUSE_SECONDS)
    for number, url in enumerate(_chosen(links.counted, min(person.links, room), person.draw)):
        acts.append(_get(actor, begin + number * PAUSE_SECONDS, "click", "human", url, browser))
    if person.leaves and links.leave:
        acts.append(_leave(actor, acts[-1].at if acts else begin, links.leave))
    return tuple(act for act in acts if is_on_this_machine(act.url))


def scan_of(actor: Actor, spread_seconds: float) -> tuple[Act, ...]:
    """A mail gateway before its reader sees the letter: HEAD and GET on every link, all at once."""
    begin = actor.person.draw * spread_seconds
    acts: list[Act] = []
    for url in (*actor.links.counted, *actor.links.others):
        kind = "click" if url in actor.links.counted else "visit"
        acts.append(_act(actor, begin, "head", "machine", "HEAD", url, GATEWAY))
        acts.append(_get(actor, begin, kind, "machine", url, GATEWAY))
    return tuple(act for act in acts if is_on_this_machine(act.url))


def do(act: Act, this_round: Round, step: Callable[[], None]) -> Deed | None:
    """Do an act at its time; None when the round is over before."""
    if not this_round.wait_until(act.at):
        return None
    deed = Deed(act, _status(act, this_round.client))
    step()
    return deed


def _status(act: Act, client: urllib3.PoolManager) -> int | None:
    headers = {"User-Agent": act.agent}
    if act.content_type:
        headers["Content-Type"] = act.content_type
    try:
        answer = client.request(
            act.method,
            act.url,
            body=act.body or None,
            headers=headers,
            timeout=ASK_SECONDS,
            retries=False,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError:
        return None
    return int(answer.status)


def _act(actor: Actor, at: float, kind: str, verdict: str, method: str, url: str, agent: str) -> Act:
    return Act(at, actor.letter_id, actor.email, kind, verdict, method, url, agent, actor.is_measured)


def _get(actor: Actor, at: float, kind: str, verdict: str, url: str, agent: str) -> Act:
    return _act(actor, at, kind, verdict, "GET", url, agent)


def _leave(actor: Actor, at: float, url: str) -> Act:
    """The POST of RFC 8058, in one of its two encodings, by a mailbox provider's server."""
    name, _, value = ONE_CLICK.partition("=")
    if int(actor.person.draw * 1000) % 2:
        body, content_type = ONE_CLICK, "application/x-www-form-urlencoded"
    else:
        mark = "----one-click"
        body = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--{mark}--\r\n'
        content_type = f"multipart/form-data; boundary={mark}"
    return Act(
        at, actor.letter_id, actor.email, "leave", "", "POST", url, "", actor.is_measured, body, content_type
    )


def _chosen(urls: Sequence[str], count: int, draw: float) -> list[str]:
    """Some links, those near the top more often."""
    chosen: dict[str, None] = {}
    for number in range(count * 3):
        if urls and len(chosen) < count:
            place = (draw * (7 * number + 13)) % 1.0
            chosen[urls[int(place**2 * len(urls))]] = None
    return list(chosen)
