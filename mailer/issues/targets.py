"""Where "Dive deeper" and the calls to action lead: mostly the paste has no addresses for them.

A label is the line without its emoji, or one whole sentence of it; letter case, kinds of quotes and
a closing stop do not count. What has no target is left out of the mail: there is no dead link.
"""

import re
from collections.abc import Iterable, Mapping

from mailer.config import Settings
from mailer.issues.document import IssueDocument
from mailer.issues.headings import fold
from mailer.issues.layout import first_lines
from subscribers.errors import Problem

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？؟])\s*")
_STOPS = " .!?…。！？؟:"


def target_of(label: str, document: IssueDocument, settings: Settings) -> str | None:
    """The address of a line: front matter `links`, then `[links.targets]`; None when neither has it."""
    return _named(label, document.front_matter.links) or _named(label, settings.links.targets)


def _named(label: str, targets: Mapping[str, str], otherwise: str | None = None) -> str | None:
    known = {_key(name): url for name, url in targets.items()}
    return next((known[key] for key in _keys(label) if key in known), otherwise)


def warnings(document: IssueDocument, settings: Settings) -> list[Problem]:
    """Lines that lead nowhere, and front matter links that no line uses."""
    cure = "Name its address in the front matter under links:, or in config.toml under [links.targets]."
    found = []
    lines = first_lines(document.layout)
    for index, label in enumerate(document.dive_deeper):
        if target_of(label, document, settings) is None:
            found.append(_missing(label, lines.get(("dive_deeper", index)), cure))
    for call in document.calls_to_action:
        if call.url is None and target_of(call.text, document, settings) is None:
            found.append(_missing(call.text, call.line, cure))
        elif call.url is not None and call.url != _named(call.text, document.front_matter.links, call.url):
            found.append(_outvoted(call.text, call.line))
    return found + _unused(document)


def _missing(label: str, line: int | None, cure: str) -> Problem:
    return Problem(f"'{label}' has no link target, so it is left out of the mail.", line, "links", cure)


def _outvoted(label: str, line: int | None) -> Problem:
    return Problem(
        f"'{label}' has an address of its own, so the one under links: is not used.",
        line,
        "links",
        "Keep one of the two.",
    )


def _unused(document: IssueDocument) -> list[Problem]:
    texts = [*document.dive_deeper, *(call.text for call in document.calls_to_action)]
    used = {key for text in texts for key in _keys(text)}
    lines = document.front_matter.lines
    return [
        Problem(
            f"no line of the issue is called '{label}', so its link is used nowhere.",
            lines.get(f"links.{label}"),
            f"links.{label}",
            "A label is a whole line without its emoji, or one whole sentence of it.",
        )
        for label in document.front_matter.links
        if _key(label) not in used
    ]


def _keys(label: str) -> Iterable[str]:
    """The whole line first, then its sentences in their order."""
    yield _key(label)
    sentences = _SENTENCE_END.split(label)
    if len(sentences) > 1:
        yield from (_key(sentence) for sentence in sentences if _key(sentence))


def _key(label: str) -> str:
    return fold(label).strip(_STOPS)
