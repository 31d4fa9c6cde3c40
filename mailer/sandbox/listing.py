"""Rows of the mailbox page: which letters, in which state, in few words. Newest first."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailer.sandbox import letters
from mailer.sandbox.letters import Letter
from mailer.sandbox.mailbox import Mailbox, Row

PAGE_SIZE = 50
PREVIEW_CHARACTERS = 140
MAX_SUBJECTS = 10
_PREVIEW_SOURCE = 6000  # characters of a body that are looked at

# Filter -> its condition. A letter can be in several.
FILTERS: Mapping[str, str] = {
    "all": "1",
    "delivered": "letter.fate IN ('delivered', 'deferred', 'complained')",
    "bounced": "letter.fate IN ('bounced', 'bounced_late', 'blocked')",
    "dropped": "letter.fate IN ('dropped', 'invalid', 'cancelled')",
    "complained": "letter.fate = 'complained'",
    "opened": "letter.opened > 0",
    "clicked": "letter.clicked > 0",
    "left": "letter.left_list > 0",
    "waiting": "letter.played_at IS NULL",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list."""

    letter: Letter
    preview: str
    opened: int
    clicked: int
    left: int


@dataclass(frozen=True, slots=True)
class Listing:
    lines: tuple[Listed, ...]
    total: int
    page: int
    pages: int


def listing(mailbox: Mailbox, *, search: str, wanted: str, page: int) -> Listing:
    """One page of the letters that match every word of `search`."""
    condition, values = _condition(search, wanted)
    total = mailbox.rows(f"SELECT count(*) AS n FROM letter WHERE {condition}", values)[0]["n"]  # noqa: S608
    pages = max(1, -(-total // PAGE_SIZE))
    page = min(max(page, 1), pages)
    found = letters.find(
        mailbox,
        f"{condition} ORDER BY letter.id DESC LIMIT ? OFFSET ?",
        [*values, PAGE_SIZE, (page - 1) * PAGE_SIZE],
    )
    marks = _marks(mailbox, found)
    return Listing(
        tuple(
            Listed(
                letter,
                preview(letter),
                *(marks[letter.id][key] for key in ("opened", "clicked", "left_list")),
            )
            for letter in found
        ),
        total,
        page,
        pages,
    )


def counts(mailbox: Mailbox, search: str) -> dict[str, int]:
    """How many letters of a search each filter shows."""
    sums = ", ".join(f"coalesce(sum({condition}), 0) AS '{name}'" for name, condition in FILTERS.items())
    where, values = _condition(search, "all")
    found = mailbox.row(f"SELECT {sums} FROM letter WHERE {where}", values)  # noqa: S608
    return {name: int(value) for name, value in (found or {}).items()}


def subjects(mailbox: Mailbox) -> list[Row]:
    """The newest subjects with their counts: the versions of an issue; none when there is one only."""
    found = mailbox.rows(
        "SELECT subject, count(*) AS letters FROM letter GROUP BY subject ORDER BY max(id) DESC LIMIT ?",
        (MAX_SUBJECTS,),
    )
    return found if len(found) > 1 else []


def is_empty(mailbox: Mailbox) -> bool:
    return mailbox.row("SELECT 1 FROM letter LIMIT 1") is None


def neighbours(mailbox: Mailbox, letter_id: int, search: str, wanted: str) -> tuple[int | None, int | None]:
    """The next newer and the next older letter of the same search."""
    condition, values = _condition(search, wanted)

    def one(comparison: str) -> int | None:
        where = f"{condition} AND {comparison} LIMIT 1"
        row = mailbox.row(f"SELECT id FROM letter WHERE {where}", [*values, letter_id])  # noqa: S608
        return row["id"] if row else None

    return one("letter.id > ? ORDER BY letter.id"), one("letter.id < ? ORDER BY letter.id DESC")


def timeline(mailbox: Mailbox, letter_id: int) -> list[Row]:
    """The events of a letter, oldest first."""
    return mailbox.rows(
        "SELECT id, kind, at, payload, posted_at FROM event WHERE letter_id = ? ORDER BY at, id", (letter_id,)
    )


def preview(letter: Letter) -> str:
    """The first words, as a mail client shows them beside the subject."""
    if letter.html:
        start = re.search(r"<body\b[^>]*>", letter.html, re.IGNORECASE)
        body = letter.html[start.end() if start else 0 :][:_PREVIEW_SOURCE]
        body = re.sub(
            r"<(style|script|title|head)\b.*?(</\1\s*>|\Z)|<!--.*?(-->|\Z)", " ", body, flags=re.S | re.I
        )
        text = html.unescape(re.sub(r"<[^>]*(>|\Z)", " ", body))
    else:
        text = (letter.text or "")[:_PREVIEW_SOURCE]
    # Preheaders are padded with invisible characters.
    text = re.sub(r"[\u034f\u00ad\u200b-\u200f\u2060\ufeff]", "", text)
    return " ".join(text.split())[:PREVIEW_CHARACTERS]


def _condition(search: str, wanted: str) -> tuple[str, list[Any]]:
    conditions, values = [FILTERS.get(wanted, FILTERS["all"])], []
    for word in search.split():
        pattern = "%" + re.sub(r"([%_\\])", r"\\\1", word) + "%"
        conditions.append(
            "(letter.email LIKE ? ESCAPE '\\' OR letter.subject LIKE ? ESCAPE '\\' "
            "OR letter.personalization LIKE ? ESCAPE '\\' "
            "OR letter.request_id IN (SELECT id FROM request WHERE message_id = ?))"
        )
        values += [pattern, pattern, pattern, word]
    return " AND ".join(conditions), values


def _marks(mailbox: Mailbox, found: list[Letter]) -> dict[int, Row]:
    ids = ",".join(str(letter.id) for letter in found)
    rows = mailbox.rows(f"SELECT id, opened, clicked, left_list FROM letter WHERE id IN ({ids})")  # noqa: S608
    return {row["id"]: row for row in rows}
