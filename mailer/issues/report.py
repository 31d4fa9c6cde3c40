"""What an import did, for a person and (`--json`) for a script."""

from dataclasses import dataclass
from typing import Any

from mailer.issues.document import Story, Unplaced
from mailer.issues.values import Issue, StoryTopics
from subscribers.errors import Problem


@dataclass(frozen=True, slots=True)
class ImportReport:
    """`is_changed` is False when the same bytes were imported again."""

    issue: Issue
    is_changed: bool
    warnings: tuple[Problem, ...]

    @property
    def unplaced(self) -> tuple[Unplaced, ...]:
        return self.issue.document.unplaced

    def as_json(self) -> dict[str, Any]:
        """The JSON shape that scripts rely on."""
        document = self.issue.document
        return {
            "issue": self.issue.slug,
            "revision": self.issue.revision,
            "stories": [story_json(story, self.issue.topics[story.number]) for story in document.stories],
            "faq": len(document.faq),
            "why_it_matters": len(document.why_it_matters),
            "calls_to_action": len(document.calls_to_action),
            "keywords": len(document.keywords),
            "references": sum(map(bool, document.references)),
            "warnings": [{"line": problem.line, "message": str(problem)} for problem in self.warnings],
            "unplaced": [{"line": line.line, "text": line.text} for line in document.unplaced],
        }


def story_json(story: Story, topics: StoryTopics) -> dict[str, Any]:
    return {
        "id": story.id,
        "number": story.number,
        "title": story.title,
        "topics": list(topics.topics),
        "suggested": topics.suggested,
        "url": story.urls[0] if story.urls else None,
        "urls": list(story.urls),
        "region": story.region,
        "date": story.date.isoformat() if story.date else None,
        "date_text": story.date_text,
    }
