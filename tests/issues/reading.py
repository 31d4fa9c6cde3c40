"""Short ways to read an issue in tests, and a small issue to vary."""

import pytest

from mailer.config_tables import HeadingsTable
from mailer.issues.document import IssueDocument
from mailer.issues.parse import parse
from subscribers.errors import NewsletterError

HEADINGS = HeadingsTable()

SMALL = """An opening line.
In Today's Newsletter
Dive deeper
🧬 First title [1] [US • 21 Jan 2026]
https://example.com/one
Context: What came before.
Key point: What is new.
Implication: What follows.
🩸 Second title [2] [EU • 22 Jan 2026]
https://example.com/two
Key point: Something else is new.
Why it matters
- It changes the first thing. [1]
- It changes nothing.
🚀 Act now. Write to us.
FAQ
Why the first? [1]
Because.
Keywords
alpha; beta-two; gamma.
References
- https://example.com/one
- https://example.com/two
"""


def read(
    text: str | bytes, *, headings: HeadingsTable = HEADINGS, topics: tuple[str, ...] | None = None
) -> IssueDocument:
    source = text.encode() if isinstance(text, str) else text
    return parse(source, file="issue.txt", headings=headings, topics=topics)


def refused(text: str | bytes, *, topics: tuple[str, ...] | None = None) -> NewsletterError:
    with pytest.raises(NewsletterError) as caught:
        read(text, topics=topics)
    return caught.value


def small(old: str = "", new: str = "") -> str:
    """The small issue with one passage replaced; the passage must be there."""
    assert old in SMALL
    return SMALL.replace(old, new) if old else SMALL
