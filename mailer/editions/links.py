"""Where the links of an edition lead: a campaign's doors, a preview's samples, a test letter's.

Only the issue's own links are counted (stories, references, questions, calls to action). Imprint,
privacy, subscribe and archive are direct. Nothing here knows a reader: their parts are slot keys.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from itsdangerous import BadData, URLSafeSerializer

from mailer.editions.content import EditionContent, EditionFaq
from mailer.links import TOKEN_CHARACTERS, Doors, Slot, Slots
from subscribers.names import NAME_MAX_CHARACTERS

# Well-formed and 24 characters long, but no HMAC of any key ends in words.
SAMPLE_TOKENS = {
    Slot.TRACK: "sample-link-opens-nought",
    Slot.VIEW: "sample-view-opens-nought",
    Slot.LEAVE: "sample-exit-opens-nought",
    Slot.PREFS: "sample-pref-opens-nought",
}
# What a reader without a name is called.
NAMELESS = "you"

# `"` and `'` are the longest to escape (6 bytes); in plain text the longest character has 4 bytes.
_LONGEST = dict.fromkeys(SAMPLE_TOKENS, "x" * TOKEN_CHARACTERS) | {
    Slot.NAME_HTML: html.escape('"') * NAME_MAX_CHARACTERS,
    Slot.NAME_TEXT: "𝕏" * NAME_MAX_CHARACTERS,
}

_TEST_SALT = "mailer.test-link"


@dataclass(frozen=True, slots=True)
class LinkPlace:
    """One counted link of an edition; clicks of all editions meet in (place, url)."""

    place: str
    url: str
    story_number: int | None


def link_places(content: EditionContent) -> list[LinkPlace]:
    """Every counted link once, in the order of reading."""
    return list(dict.fromkeys(_places(content)))


def faq_sources(content: EditionContent, entry: EditionFaq) -> list[tuple[int, str]]:
    """The printed number and URL of each source that a question cites."""
    known = {reference.number: reference.url for reference in content.references}
    return [(citation, known[citation]) for citation in entry.citations if citation in known]


def fill(text: str, slots: Slots, values: Mapping[Slot, str]) -> str:
    """The text with its slot keys replaced; a slot without a value keeps its key."""
    for slot, value in values.items():
        text = text.replace(slots.key(slot), value)
    return text


def longest_bytes(text: str, slots: Slots) -> int:
    """UTF-8 bytes of the text when every slot holds its longest value."""
    return len(fill(text, slots, _LONGEST).encode())


def sample_values(name: str = "") -> dict[Slot, str]:
    """Slot values of a letter that is nobody's: sample tokens, and a name or "you"."""
    name = name or NAMELESS
    return SAMPLE_TOKENS | {Slot.NAME_HTML: html.escape(name), Slot.NAME_TEXT: name}


@dataclass(frozen=True, slots=True)
class CampaignLinks:
    """Doors with slot keys, filled for each reader; `ids` are the campaign's rows of `link`."""

    doors: Doors
    slots: Slots
    ids: Mapping[tuple[str, str], int]
    slug: str

    def target(self, place: str, url: str, *, story_number: int | None = None) -> str:
        return self.doors.click(self.slots.key(Slot.TRACK), self.ids[place, url])

    @property
    def view(self) -> str:
        return self.doors.view(self.slots.key(Slot.VIEW))

    @property
    def leave(self) -> str:
        return self.doors.leave(self.slots.key(Slot.LEAVE))

    @property
    def prefs(self) -> str:
        return self.doors.prefs(self.slots.key(Slot.PREFS))

    @property
    def pixel(self) -> str | None:
        return self.doors.pixel(self.slots.key(Slot.TRACK))

    @property
    def subscribe(self) -> str:
        return self.doors.subscribe()

    @property
    def archive(self) -> str:
        return self.doors.archive(self.slug)


@dataclass(frozen=True, slots=True)
class PreviewLinks:
    """Links as in a campaign, with tokens that open nothing and numbers counted from 1."""

    doors: Doors
    slug: str
    content: EditionContent
    _ids: Mapping[tuple[str, str], int] = field(init=False)

    def __post_init__(self) -> None:
        numbered = enumerate(link_places(self.content), start=1)
        object.__setattr__(self, "_ids", {(link.place, link.url): number for number, link in numbered})

    def target(self, place: str, url: str, *, story_number: int | None = None) -> str:
        return self.doors.click(SAMPLE_TOKENS[Slot.TRACK], self._ids[place, url])

    @property
    def view(self) -> str:
        return self.doors.view(SAMPLE_TOKENS[Slot.VIEW])

    @property
    def leave(self) -> str:
        return self.doors.leave(SAMPLE_TOKENS[Slot.LEAVE])

    @property
    def prefs(self) -> str:
        return self.doors.prefs(SAMPLE_TOKENS[Slot.PREFS])

    @property
    def pixel(self) -> str | None:
        return self.doors.pixel(SAMPLE_TOKENS[Slot.TRACK])

    @property
    def subscribe(self) -> str:
        return self.doors.subscribe()

    @property
    def archive(self) -> str:
        return self.doors.archive(self.slug)


@dataclass(frozen=True, slots=True)
class TestTarget:
    """What a test link says of itself: a place of a revision, and which of that place's URLs."""

    __test__ = False  # no test class

    revision_id: int
    place: str
    index: int


class TestTokens:
    """Signs and reads the tokens of `/t/`; the first of `web.secrets` signs, all verify."""

    __test__ = False  # no test class

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("web.secrets is empty")
        # itsdangerous signs with the last key of its list.
        self._serializer = URLSafeSerializer(list(reversed(secrets)), salt=_TEST_SALT)

    def sign(self, target: TestTarget) -> str:
        return str(self._serializer.dumps([target.revision_id, target.place, target.index]))

    def open(self, token: str) -> TestTarget | None:
        """What the token says, or None when it is none of ours."""
        try:
            revision_id, place, index = self._serializer.loads(token)
        except (BadData, ValueError, TypeError):
            return None
        return TestTarget(revision_id, place, index)


@dataclass(frozen=True, slots=True)
class TestLinks:
    """Links of a test letter: they lead on and store nothing; unsubscribe is inert, no pixel.

    `full` is the whole issue's content: the index of a URL must not depend on the edition.
    """

    __test__ = False  # no test class

    doors: Doors
    tokens: TestTokens
    revision_id: int
    slug: str
    full: EditionContent

    def target(self, place: str, url: str, *, story_number: int | None = None) -> str:
        return self._signed(place, urls_of(self.full, place).index(url))

    @property
    def view(self) -> str:
        return self._signed("view", 0)

    @property
    def leave(self) -> str:
        return self._signed("leave", 0)

    @property
    def prefs(self) -> str:
        return self._signed("prefs", 0)

    @property
    def pixel(self) -> str | None:
        return None

    @property
    def subscribe(self) -> str:
        return self.doors.subscribe()

    @property
    def archive(self) -> str:
        return self.doors.archive(self.slug)

    def _signed(self, place: str, index: int) -> str:
        return self.doors.test(self.tokens.sign(TestTarget(self.revision_id, place, index)))


def urls_of(full: EditionContent, place: str) -> list[str]:
    """The URLs of one place of the whole issue, in the order that test links count them."""
    return [link.url for link in link_places(full) if link.place == place]


def _places(content: EditionContent) -> Iterator[LinkPlace]:
    story_of = {url: story.number for story in reversed(content.stories) for url in story.urls}
    for line in (*content.dive_deeper, *content.calls_to_action):
        if line.url:
            yield LinkPlace(line.place, line.url, None)
    for story in content.stories:
        for url in story.urls:
            yield LinkPlace(f"story:{story.number}", url, story.number)
    for entry in content.faq:
        for _, url in faq_sources(content, entry):
            yield LinkPlace(f"faq:{entry.number}", url, story_of.get(url))
    for reference in content.references:
        yield LinkPlace(f"reference:{reference.original}", reference.url, story_of.get(reference.url))
