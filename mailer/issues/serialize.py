"""IssueDocument -> bytes: each line is printed from the document's values, as the editor typed it.

A value that is what was read is printed as it was typed; a changed one changes its own place, a new
one gets a line, a removed one loses it. Nothing else of the file moves.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mailer.issues.document import IssueDocument
from mailer.issues.headings import LABELS
from mailer.issues.layout import Line, Path, Slot, slots_of
from mailer.issues.source import encode
from subscribers.errors import NewsletterError

_MISSING = object()
# Labels of lines that an issue has nowhere yet.
_NEW_LABELS = {"context": "Context:", "key_point": "Key point:", "implication": "Implication:"}
# JSON text is YAML text, but for the characters that YAML takes for line ends or does not print.
_NOT_IN_YAML = re.compile(r"[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]")


def serialize(document: IssueDocument) -> bytes:
    """The bytes of an issue; those of `parse`, when nothing was changed."""
    layout = document.layout
    text = "".join(line + ending for line, ending in printed_lines(document))
    return encode(text, layout.encoding, bom=layout.bom)


def printed_lines(document: IssueDocument) -> list[tuple[str, str]]:
    """(line, ending) pairs; a front matter key is one of them, however many lines it has."""
    newline = _newline(document)
    printed = _new_front_matter(document, newline)
    growth = _growth(document)
    more_keywords = _more_keywords(document)
    for index, line in enumerate(document.layout.lines):
        if line.anchor == "front_matter":
            printed += _new_keys(document, newline)
        if (text := _printed(line, document, more_keywords)) is not None:
            printed.append((text, line.ending))
        for text in growth.get(index, ()):
            if printed and not printed[-1][1]:  # behind a last line without an ending
                printed[-1] = (printed[-1][0], newline)
                printed.append((text, ""))
            else:
                printed.append((text, newline))
    return printed


def _printed(line: Line, document: IssueDocument, behind: Mapping[Path, str]) -> str | None:
    """A line with its present values; None when all that it held is gone."""
    parts: list[str] = []
    held = kept = 0
    for piece in line.pieces:
        if isinstance(piece, str):
            parts.append(piece)
            continue
        held += 1
        value = value_at(document, piece.field)
        is_same = value == piece.read
        if not is_same and _is_gone(value, piece):
            if kept and parts:
                parts.pop()  # the "; " or the space before it
            continue
        kept += 1
        text = piece.printed if is_same else _fresh(piece, value)
        parts.append(text + behind.get(piece.field, ""))
    return None if held and not kept else "".join(parts)


def _is_gone(value: Any, slot: Slot) -> bool:
    return value is _MISSING or value is None or (slot.field[0] == "front_matter" and not value)


def value_at(document: IssueDocument, path: Path) -> Any:
    """The value that a slot prints; `place` is region and date together. _MISSING: no longer there."""
    value: Any = document
    for step in path:
        if isinstance(step, int):
            if step >= len(value):
                return _MISSING
            value = value[step]
        elif step == "place":
            value = (value.region, value.date_text)
        else:
            value = getattr(value, step)
    return value


def _fresh(slot: Slot, value: Any) -> str:
    """How a new value is printed in the place of an old one."""
    lead = slot.printed[: len(slot.printed) - len(slot.printed.lstrip())]
    if slot.field[0] == "front_matter":
        return " " + yaml_of(str(slot.field[1]), value)
    match slot.field[-1]:
        case "citations":
            joined = ("][" if slot.joint.strip().startswith("]") else slot.joint).join(map(str, value))
            return f"{lead or ' '}[{joined}]" if value else ""
        case "place":
            parts = [part for part in value if part]
            return f"{lead or ' '}[{slot.joint.join(parts)}]" if parts else ""
        case "emoji":
            space = slot.printed[len(str(slot.read)) :]
            return f"{value}{space or ' '}" if value else ""
        case "context" | "key_point" | "implication":
            return f"{lead or ' '}{value}"
        case _:
            return str(value)


def yaml_of(key: str, value: Any) -> str:
    """A front matter value on one line."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value if key in ("slug", "kind") else _quoted(value)
    if key == "topics":
        pairs = (
            f"{number}: " + (f"[{', '.join(slugs)}]" if slugs else "everyone")
            for number, slugs in value.items()
        )
    else:
        pairs = (f"{_quoted(name)}: {_quoted(text)}" for name, text in value.items())
    return "{" + ", ".join(pairs) + "}"


def _quoted(text: str) -> str:
    escaped = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04X}", escaped)


# -- values without a place yet ---------------------------------------------------------------------


def _newline(document: IssueDocument) -> str:
    return next((line.ending for line in document.layout.lines if line.ending), "\n")


def _missing_keys(document: IssueDocument) -> list[tuple[str, Any]]:
    placed = {
        slot.field[1]
        for line in document.layout.lines
        for slot in slots_of(line)
        if slot.field[0] == "front_matter"
    }
    front = document.front_matter
    names = [name for name in front.__slots__ if name != "lines"]
    return [(name, getattr(front, name)) for name in names if name not in placed and getattr(front, name)]


def _new_keys(document: IssueDocument, newline: str) -> list[tuple[str, str]]:
    return [(f"{name}: {yaml_of(name, value)}", newline) for name, value in _missing_keys(document)]


def _new_front_matter(document: IssueDocument, newline: str) -> list[tuple[str, str]]:
    has_one = any(line.anchor == "front_matter" for line in document.layout.lines)
    if has_one or not (keys := _new_keys(document, newline)):
        return []
    return [("---", newline), *keys, ("---", newline)]


def _growth(document: IssueDocument) -> dict[int, list[str]]:
    """Index of a layout line -> texts of the new lines behind it."""
    last: dict[Path, int] = {}
    anchors: dict[str, int] = {}
    for index, line in enumerate(document.layout.lines):
        if line.anchor:
            anchors[line.anchor] = index
        for slot in slots_of(line):
            last[slot.field] = index
            if isinstance(slot.field[-1], int):
                last[slot.field[:-1]] = index
    _refuse_new_parts(document, last)
    growth: dict[int, list[str]] = {}
    for owner, values in _lists(document):
        placed = sum(1 for field in last if field[:-1] == owner and isinstance(field[-1], int))
        if placed < len(values) and owner != ("keywords",):
            index = _place_of(owner, last, anchors)
            growth.setdefault(index, []).extend(_new_lines(document, owner, placed, values))
        elif placed < len(values) and placed == 0:
            growth.setdefault(_place_of(owner, last, anchors), []).append("; ".join(values))
    for position, story in enumerate(document.stories):
        for name in LABELS:
            path: Path = ("stories", position, name)
            if path not in last and (value := getattr(story, name)) is not None:
                growth.setdefault(_label_place(position, name, last), []).append(
                    _new_label(document, name, value)
                )
    return growth


def _refuse_new_parts(document: IssueDocument, placed: Mapping[Path, int]) -> None:
    """Stories, questions, points and calls are typed, not made: where would a new one stand?"""
    for name in ("stories", "faq", "why_it_matters", "calls_to_action"):
        found = {path[1] for path in placed if path[0] == name and len(path) > 1}
        if len(getattr(document, name)) > len(found):
            what = name.replace("_", " ")
            raise NewsletterError(
                f"'{what}' has a part without lines.", field=what, cure="Type it into the text."
            )


def _lists(document: IssueDocument) -> list[tuple[Path, Sequence[str]]]:
    found: list[tuple[Path, Sequence[str]]] = [
        (("intro",), document.intro),
        (("dive_deeper",), document.dive_deeper),
        (("keywords",), document.keywords),
        (("references",), document.references),
    ]
    found += [(("stories", at, "urls"), story.urls) for at, story in enumerate(document.stories)]
    found += [(("faq", at, "answer"), entry.answer) for at, entry in enumerate(document.faq)]
    return found


def _place_of(owner: Path, last: dict[Path, int], anchors: dict[str, int]) -> int:
    """The line behind which the first new line of a list goes."""
    if owner in last:
        return last[owner]
    head: Path = (*owner[:-1], "title" if owner[0] == "stories" else "question")
    if head in last:
        return last[head]
    if (index := anchors.get(str(owner[0]))) is not None:
        return index
    name = str(owner[0]).replace("_", " ")
    raise NewsletterError(
        f"the issue has no place for '{name}' yet.",
        field=name,
        cure="Type its heading and a first line into the text.",
    )


def _new_lines(document: IssueDocument, owner: Path, placed: int, values: Sequence[str]) -> list[str]:
    """New lines look like the last one of their list: same indent, bullet and bold."""
    like = next(
        (
            line
            for line in document.layout.lines
            if any(s.field == (*owner, placed - 1) for s in slots_of(line))
        ),
        None,
    )
    before = ""
    if like is not None and isinstance(like.pieces[0], str) and not like.anchor:
        before = like.pieces[0]
    elif like is None and owner == ("references",):
        before = "- "
    found = []
    for index in range(placed, len(values)):
        numbered = re.sub(r"\d+", str(index + 1), before, count=1)
        found.append(numbered + values[index])
    return found


def _label_place(position: int, name: str, last: dict[Path, int]) -> int:
    before: list[Path] = [("stories", position, "title"), ("stories", position, "urls")]
    before += [("stories", position, label) for label in LABELS[: LABELS.index(name)]]
    return max(last[path] for path in before if path in last)


def _new_label(document: IssueDocument, name: str, value: str) -> str:
    """A label spelled as elsewhere in the issue."""
    for line in document.layout.lines:
        for index, piece in enumerate(line.pieces):
            if isinstance(piece, Slot) and piece.field[-1] == name and piece.printed:
                before = "".join(text for text in line.pieces[:index] if isinstance(text, str))
                return (
                    f"{before}{_fresh(piece, value)}" + "".join(map(str, line.pieces[index + 1 :])).rstrip()
                )
    return f"{_NEW_LABELS[name]} {value}"


def _more_keywords(document: IssueDocument) -> dict[Path, str]:
    """New keywords stand behind the last one of the list, before its full stop."""
    lines = [line for line in document.layout.lines if any(_is_keyword(slot) for slot in slots_of(line))]
    placed = [slot.field for line in lines for slot in slots_of(line) if _is_keyword(slot)]
    if not placed:
        return {}
    typed = "".join(piece for line in lines for piece in line.pieces if isinstance(piece, str))
    has_commas = "," in typed and not any(mark in typed for mark in ";；")
    joint = ", " if has_commas else "; "
    return {placed[-1]: "".join(f"{joint}{keyword}" for keyword in document.keywords[len(placed) :])}


def _is_keyword(slot: Slot) -> bool:
    return slot.field[0] == "keywords"
