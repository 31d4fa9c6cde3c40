"""A story while it is read: its title line, and what the lines under it may still add.

A line that would overwrite or confuse what the story already has is not taken: it stays unplaced, as
it most likely belongs to a story whose own title line was not recognised.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field, replace

from mailer.issues import dates
from mailer.issues.document import Story
from mailer.issues.emoji import split_emoji
from mailer.issues.headings import LABELS, Label, strip_bullet, strip_hashes, without_bold
from mailer.issues.layout import Line, Slot
from mailer.issues.marks import Ending, Place, read_ending
from subscribers.errors import Problem

# An id is read by people in statistics and addresses: the first words do.
ID_SLUG_MAX_CHARACTERS = 48
ID_HASH_CHARACTERS = 6
# Letters that Unicode does not take apart.
_WITHOUT_PARTS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)


@dataclass(slots=True)
class OpenStory:
    """The story that the next lines belong to, until something else begins."""

    position: int  # from 0
    line: int
    emoji: str
    title: str
    citations: tuple[int, ...]
    place: Place | None
    urls: list[str] = field(default_factory=list)
    labels: dict[str, str | None] = field(default_factory=dict)
    is_interrupted: bool = False  # a line without a place stood between

    def takes_url(self) -> bool:
        return not (self.is_interrupted and self.labels)

    def takes_label(self, name: str) -> bool:
        if name in self.labels:
            return False
        furthest = max((LABELS.index(label) for label in self.labels), default=-1)
        return not (self.is_interrupted and LABELS.index(name) < furthest)

    def finish(self) -> Story:
        place = self.place
        date_text = place.date_text if place else None
        urls = tuple(self.urls)
        return Story(
            id=story_id(self.title, urls),
            number=self.position + 1,
            emoji=self.emoji,
            title=self.title,
            citations=self.citations,
            region=place.region if place else None,
            date_text=date_text,
            date=dates.understand(date_text) if date_text else None,
            urls=urls,
            context=self.labels.get("context"),
            key_point=self.labels.get("key_point"),
            implication=self.labels.get("implication"),
            line=self.line,
        )

    def warnings(self) -> list[Problem]:
        number = self.position + 1
        found = []
        if not self.urls:
            cure = "Put its address on a line of its own under the title."
            found.append(Problem(f"story {number} has no URL.", self.line, "URL", cure))
        if not self.labels.get("key_point"):
            cure = "Add a line 'Key point: …' under it."
            found.append(Problem(f"story {number} has no Key point.", self.line, "key point", cure))
        place = self.place
        if place and not place.is_certain:
            cure = "Write [REGION • date] to be sure, or move other brackets into the title."
            message = f"'{place.region}' is read as the region of story {number}."
            found.append(Problem(message, self.line, "region", cure))
        if place and place.date_text and dates.understand(place.date_text) is None:
            cure = "Write it like 21 Jan 2026."
            message = (
                f"the date '{place.date_text}' of story {number} is not understood; it is printed as it is."
            )
            found.append(Problem(message, self.line, "date", cure))
        return found


def read_title(core: str) -> Ending | None:
    """The marks at the end of a title line, which may be bold as a whole; None when it ends in none."""
    if (ending := read_ending(core)) is not None or not core.endswith(("*", "_")):
        return ending
    bare = strip_bullet(strip_hashes(core))
    bold = without_bold(bare)[1]
    if not bold or (ending := read_ending(core.removesuffix(bold))) is None:
        return None
    return replace(ending, bold=bold)


@dataclass(frozen=True, slots=True)
class TitleParts:
    """A title line without its marks, printed in the order of the fields."""

    before: str  # `#`, bullet, what opens a bold line
    emoji: str
    space: str
    opening: str  # of a bold title
    title: str
    closing: str


def title_parts(core: str, ending: Ending) -> TitleParts:
    body = ending.body
    bare = strip_bullet(strip_hashes(body)).removeprefix(ending.bold)
    outer, around = _without_bold(bare)
    emoji, space, text = split_emoji(outer)
    title, inside = _without_bold(text.rstrip())
    before = core[: len(body) - len(bare)] + around
    return TitleParts(before, emoji, space, inside, title.rstrip(), inside + around)


def _without_bold(text: str) -> tuple[str, str]:
    """As `without_bold`, of clear marks only: `*Title*` may be meant as it stands."""
    inside, marks = without_bold(text)
    return (inside, marks) if len(marks) > 1 else (text, "")


def open_story(
    position: int, line: int, core: str, ending: Ending
) -> tuple[OpenStory, tuple[str | Slot, ...]]:
    """A story and the pieces of its title line."""
    parts = title_parts(core, ending)
    story = OpenStory(position, line, parts.emoji, parts.title, ending.citations, ending.place)
    place = ending.place
    slots: dict[str, Slot] = {
        "citations": citations_slot(("stories", position), ending.citations, ending.printed("citations")),
        "place": Slot(
            ("stories", position, "place"),
            (place.region, place.date_text) if place else (None, None),
            ending.printed("place"),
            place.joint if place else " • ",
        ),
    }
    printed = [name for name, _ in ending.pieces]
    order = [*printed, *(name for name in slots if name not in printed)]
    head = (
        parts.before,
        Slot(("stories", position, "emoji"), parts.emoji, parts.emoji + parts.space),
        parts.opening,
        Slot(("stories", position, "title"), parts.title, parts.title),
        parts.closing,
    )
    return story, (*head, *(slots[name] for name in order), ending.bold)


def citations_slot(owner: tuple[str | int, ...], numbers: tuple[int, ...], printed: str) -> Slot:
    joint = re.search(r"\d(\s*[,;]\s*|\s*\]\s*\[\s*)\d", printed)
    return Slot((*owner, "citations"), numbers, printed, joint[1] if joint else "][")


def label_pieces(position: int, label: Label) -> tuple[str | None, tuple[str | Slot, ...]]:
    """The value of a labelled line, None when it is empty, and its pieces."""
    value = label.text.strip() or None
    return value, (label.before, Slot(("stories", position, label.name), value, label.text), label.after)


def line_of(lead: str, pieces: tuple[str | Slot, ...], trail: str, ending: str, anchor: str = "") -> Line:
    return Line(tuple(piece for piece in (lead, *pieces, trail) if piece != ""), ending, anchor)


def story_id(title: str, urls: tuple[str, ...]) -> str:
    """Slug of the title and six hex digits of the first URL, or of the title when there is none."""
    digest = hashlib.sha256((urls[0] if urls else title).encode()).hexdigest()[:ID_HASH_CHARACTERS]
    slug = slugify(title, ID_SLUG_MAX_CHARACTERS)
    return f"{slug}-{digest}" if slug else digest


def slugify(text: str, longest: int) -> str:
    """Small letters, digits and single hyphens; empty when the text has no letter that can become one."""
    latin = text.casefold().translate(_WITHOUT_PARTS)  # casefold: "ß" is "ss"
    plain = unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")
    if len(slug) > longest:
        slug = slug[: longest + 1].rpartition("-")[0] or slug[:longest]
    return slug.strip("-")
