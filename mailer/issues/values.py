"""An issue as later rooms take it: a document, its revision, and which topics each story has."""

from collections.abc import Mapping
from dataclasses import dataclass

from mailer.issues.document import IssueDocument


@dataclass(frozen=True, slots=True)
class StoryTopics:
    """`topics` empty and `suggested` true: undecided. Empty and not suggested: decided for everyone."""

    topics: tuple[str, ...]
    suggested: bool

    @property
    def is_undecided(self) -> bool:
        return self.suggested and not self.topics


@dataclass(frozen=True, slots=True)
class Issue:
    """One revision of an issue, read and tagged."""

    slug: str
    kind: str
    revision: int  # 1, 2, …
    revision_id: int | None  # None: not stored
    issue_id: int | None
    hash: str  # SHA-256 of the source, hex
    document: IssueDocument
    topics: Mapping[int, StoryTopics]  # by story number
