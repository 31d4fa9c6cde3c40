"""The one base of every error that a person may read.

An error says what is wrong, where, and what to do next. It carries plain strings and numbers only,
never an object of the room that raised it, so that it can cross every floor of the house.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `line` counts from 1, `field` is the name a person typed."""

    message: str
    line: int | None = None
    field: str | None = None
    cure: str | None = None

    def __str__(self) -> str:
        return f"{self.message} {self.cure}" if self.cure else self.message


class NewsletterError(Exception):
    """What is wrong, where, and the cure; `problems` holds every fault of a file, the first on top."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        field: str | None = None,
        cure: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.file = file
        self.problems = tuple(problems) or (Problem(message, line, field, cure),)
        first = self.problems[0]
        self.message = first.message if problems else message
        self.line = first.line
        self.field = first.field
        self.cure = first.cure

    @classmethod
    def of(cls, problems: Sequence[Problem], *, file: str | None = None) -> "NewsletterError":
        """One error for all the faults of a file."""
        return cls(problems[0].message, file=file, problems=problems)

    def lines(self) -> list[str]:
        """One line for each fault: `file:line: message cure`."""
        return [f"{self._place(problem)}{problem}" for problem in self.problems]

    def _place(self, problem: Problem) -> str:
        parts = [part for part in (self.file, problem.line) if part is not None]
        return "".join(f"{part}:" for part in parts) + (" " if parts else "")

    def __str__(self) -> str:
        return "\n".join(self.lines())


class NotFound(NewsletterError):
    """A thing was asked for by a name that nobody has."""


class ConfirmationNeeded(NewsletterError):
    """The command would do something that a person must confirm (exit code 2)."""

    exit_code = 2
