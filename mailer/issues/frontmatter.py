"""The YAML head of an issue, read from its nodes: text stays as typed (`NO` is no boolean here).

Aliases, tags, duplicate and unknown keys are refused; nothing is built but text, numbers and the
mappings below. Every value keeps its place in the file, so that a change touches its lines only.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import yaml

from mailer.issues import tame_yaml
from mailer.issues.document import FrontMatter
from mailer.issues.layout import Line, Slot
from mailer.issues.source import first_bad_character, split_lines
from mailer.models import IssueKind
from mailer.urls import fault_of
from subscribers.errors import Problem
from subscribers.nearest import did_you_mean

SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
SLUG_MAX_CHARACTERS = 80  # it stands in every archive address
EVERYONE = "everyone"
FENCE = "---"
_CLOSING = (FENCE, "...")

EXAMPLES = {
    "slug": "slug: week-04",
    "kind": "kind: weekly",
    "subject": 'subject: "What moved this week"',
    "preheader": 'preheader: "And what it means"',
    "subject_story": "subject_story: 2",
    "subjects": 'subjects: {car-t: "A subject for its readers"}',
    "intro_for": 'intro_for: {car-t: "A paragraph for its readers"}',
    "topics": "topics: {3: [car-t, myeloma], 6: everyone}",
    "links": 'links: {"Contact us now": "https://www.example.com/contact"}',
}

Node = tame_yaml.Node


@dataclass(slots=True)
class Head:
    """What stands between the fences, with the faults found in it."""

    values: FrontMatter = field(default_factory=FrontMatter)
    lines: list[Line] = field(default_factory=list)
    faults: list[Problem] = field(default_factory=list)
    length: int = 0  # physical lines, fences and blank lines before them included
    key_lines: dict[str, int] = field(default_factory=dict)


def find(lines: list[tuple[str, str]]) -> tuple[int, int] | None:
    """Indexes of the two fences; the second is -1 when it is missing. None: no front matter."""
    for index, (line, _) in enumerate(lines):
        if line.strip():
            if line.rstrip() != FENCE:
                return None
            closing = (at for at in range(index + 1, len(lines)) if lines[at][0].rstrip() in _CLOSING)
            return index, next(closing, -1)
    return None


def read(lines: list[tuple[str, str]], topics: Collection[str] | None) -> Head:
    """Read the head of an issue; `topics` are the declared slugs, None: any will do."""
    head = Head()
    if (fences := find(lines)) is None:
        return head
    first, last = fences
    if last < 0:
        cure = f"Close it with a second line '{FENCE}', or delete this one."
        head.faults.append(Problem("the front matter is never closed.", first + 1, "front matter", cure))
        return head
    head.length = last + 1
    text = "".join(line + ending for line, ending in lines[first + 1 : last])
    reader = _Reader(text, first + 2, topics, head)
    head.lines = [Line((line,), ending) for line, ending in lines[: first + 1]]
    head.lines += reader.read()
    head.lines.append(Line((lines[last][0],), lines[last][1], anchor="front_matter"))
    return head


class _Reader:
    """One pass over one front matter; holds the text, for the places of its values."""

    def __init__(self, text: str, first_line: int, topics: Collection[str] | None, head: Head) -> None:
        self._text = text
        self._first_line = first_line
        self._topics = topics
        self._head = head
        self._starts = [0]
        for line, ending in split_lines(text):
            self._starts.append(self._starts[-1] + len(line + ending))

    def read(self) -> list[Line]:
        root = self._root()
        if root is None:
            return [Line((line,), ending) for line, ending in split_lines(self._text)]
        values: dict[str, Any] = {}
        pairs: list[tuple[str, Node, Node]] = []
        seen: dict[str, int] = {}
        for key, value in root.value:
            name = self._key(key, seen, field_name=None)
            if name is None:
                continue
            reader = _VALUES.get(name)
            if reader is None:
                self._unknown_key(name, key)
                continue
            self._head.key_lines[name] = self._line(key)
            found = None if _is_silent(value) else reader(self, name, value)
            if found is not None:
                values[name] = found
            pairs.append((name, key, value))
        self._head.values = FrontMatter(**values, lines=self._head.key_lines)
        return self._layout(root, pairs)

    def _root(self) -> Node | None:
        """The mapping of the front matter, None when it is silent or at fault."""
        try:
            root = tame_yaml.compose(self._text)
        except tame_yaml.Refused as refused:
            line = self._line_at(refused.index)
            self._head.faults.append(Problem(refused.message, line, "front matter", refused.cure))
            return None
        if root is None or _is_silent(root):
            return None
        if not isinstance(root, yaml.MappingNode):
            fault = "the front matter is no list of 'key: value' lines."
            self._fault(fault, self._line(root), "front matter")
            return None
        return root

    def _fault(self, message: str, line: int, name: str) -> None:
        example = EXAMPLES.get(name.partition(".")[0], 'subject: "Text with a colon: in quotes"')
        self._head.faults.append(Problem(message, line, name, f"For example: {example}"))

    def _line(self, node: Node) -> int:
        return self._line_at(node.start_mark.index)

    def _line_at(self, index: int) -> int:
        return self._first_line + min(bisect_right(self._starts, index), max(len(self._starts) - 1, 1)) - 1

    def _key(self, key: Node, seen: dict[str, int], *, field_name: str | None) -> str | None:
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        line = self._line(key)
        if name is None:
            self._fault("a key must be plain text.", line, field_name or "front matter")
        elif name in seen:
            full = f"{field_name}.{name}" if field_name else name
            self._fault(f"'{name}' stands here twice (first on line {seen[name]}).", line, full)
            return None
        else:
            seen[name] = line
        return name

    def _unknown_key(self, name: str, key: Node) -> None:
        cure = f"{did_you_mean(name, EXAMPLES)}Known keys: {', '.join(EXAMPLES)}."
        fault = f"'{name}' is no key of the front matter."
        self._head.faults.append(Problem(fault, self._line(key), name, cure))

    # -- values ---------------------------------------------------------------------------------------

    def text(self, name: str, node: Node, *, one_line: bool = True) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(f"'{name}' must be text.", self._line(node), name)
            return None
        value: str = node.value.strip()
        bad = first_bad_character(value) or (None if "\t" not in value else (0, "\t"))
        if bad is not None:
            fault = f"'{name}' holds a control character (U+{ord(bad[1]):04X})."
            self._fault(fault, self._line(node), name)
            return None
        if one_line and ("\n" in value or "\r" in value):
            self._fault(f"'{name}' must be one line.", self._line(node), name)
            return None
        return value or None

    def paragraph(self, name: str, node: Node) -> str | None:
        return self.text(name, node, one_line=False)

    def slug(self, name: str, node: Node) -> str | None:
        value = self.text(name, node)
        if value is None or is_slug(value):
            return value
        self._fault(
            f"'{value}' is no slug: small letters, digits and single hyphens.", self._line(node), name
        )
        return None

    def kind(self, name: str, node: Node) -> str | None:
        value = self.text(name, node)
        kinds = [kind.value for kind in IssueKind]
        if value is None or value in kinds:
            return value
        self._fault(f"'{value}' is no kind of issue: {', '.join(kinds)}.", self._line(node), name)
        return None

    def number(self, name: str, node: Node) -> int | None:
        value = self.text(name, node)
        if value is None:
            return None
        if re.fullmatch(r"[0-9]{1,3}", value) and int(value) > 0:
            return int(value)
        self._fault(f"'{name}' must be the number of a story, from 1.", self._line(node), name)
        return None

    def mapping(self, name: str, node: Node) -> list[tuple[str, Node, Node]]:
        """(key, key node, value node) triples; faults for what is none."""
        if not isinstance(node, yaml.MappingNode):
            self._fault(f"'{name}' must be 'key: value' pairs.", self._line(node), name)
            return []
        seen: dict[str, int] = {}
        triples = []
        for key, value in node.value:
            if (found := self._key(key, seen, field_name=name)) is not None:
                triples.append((found, key, value))
        return triples

    def per_topic(
        self, name: str, node: Node, read_text: Callable[["_Reader", str, Node], str | None]
    ) -> dict[str, str]:
        found = {}
        for topic, key, value in self.mapping(name, node):
            self._declared(topic, self._line(key), f"{name}.{topic}")
            if (text := read_text(self, f"{name}.{topic}", value)) is not None:
                found[topic] = text
        return found

    def subjects(self, name: str, node: Node) -> dict[str, str]:
        return self.per_topic(name, node, _Reader.text)

    def intro_for(self, name: str, node: Node) -> dict[str, str]:
        return self.per_topic(name, node, _Reader.paragraph)

    def topics(self, name: str, node: Node) -> dict[int, tuple[str, ...]]:
        found = {}
        for key, key_node, value in self.mapping(name, node):
            if not (re.fullmatch(r"[0-9]{1,3}", key) and int(key) > 0):
                self._fault(f"'{key}' is no number of a story.", self._line(key_node), name)
                continue
            number = int(key)
            if number in found:
                self._fault(f"story {number} stands here twice.", self._line(key_node), f"{name}.{key}")
                continue
            self._head.key_lines[f"{name}.{number}"] = self._line(key_node)
            slugs = self._slugs(f"{name}.{number}", value)
            if slugs is not None:
                found[number] = slugs
        return found

    def _slugs(self, name: str, node: Node) -> tuple[str, ...] | None:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        texts = [self.text(name, item) for item in nodes]
        slugs = tuple(dict.fromkeys(text for text in texts if text is not None))
        if not slugs:
            if not any(isinstance(item, yaml.CollectionNode) for item in nodes):
                self._fault(
                    f"'{name}' names no topic; say '{EVERYONE}' for all readers.", self._line(node), name
                )
            return None
        if EVERYONE in slugs:
            if len(slugs) == 1:
                return ()
            self._fault(f"'{EVERYONE}' stands alone, or not at all.", self._line(node), name)
            return None
        for slug, item in zip(texts, nodes, strict=True):
            if slug is not None:
                self._declared(slug, self._line(item), name)
        return slugs

    def _declared(self, topic: str, line: int, name: str) -> None:
        if self._topics is None or topic in self._topics:
            return
        meant = did_you_mean(topic.casefold(), self._topics)
        cure = f"{meant}Topics are declared in config.toml under [topics]."
        self._head.faults.append(Problem(f"topic '{topic}' is not declared.", line, name, cure))

    def links(self, name: str, node: Node) -> dict[str, str]:
        found = {}
        for label, key, value in self.mapping(name, node):
            full = f"{name}.{label}"
            if not label.strip():
                self._fault("a link has no label.", self._line(key), name)
                continue
            if (url := self.text(full, value)) is None:
                if isinstance(value, yaml.ScalarNode) and not value.value.strip():
                    self._fault(f"'{label}' leads nowhere.", self._line(key), full)
                continue
            if (fault := fault_of(url)) is not None:
                self._fault(f"the address of '{label}' {fault}.", self._line(value), full)
                continue
            self._head.key_lines[full] = self._line(key)
            found[label] = url
        return found

    # -- layout ---------------------------------------------------------------------------------------

    def _layout(self, root: Node, pairs: list[tuple[str, Node, Node]]) -> list[Line]:
        spans = []
        for name, key, value in pairs:
            colon = re.compile(r"\s*:").match(self._text, key.end_mark.index)
            if colon is None:
                continue  # "? key" on a line of its own: printed as it stands, changed by hand
            end = max(_end(value, self._text), colon.end())
            spans.append((name, key.start_mark.index, colon.end(), end))
        if root.flow_style:
            return [self._flow_line(spans)]
        return self._block_lines(spans)

    def _flow_line(self, spans: list[tuple[str, int, int, int]]) -> Line:
        pieces: list[str | Slot] = []
        at = 0
        for name, _, start, end in spans:
            pieces += [self._text[at:start], self._slot(name, start, end)]
            at = end
        return Line((*pieces, self._text[at:]), "")

    def _block_lines(self, spans: list[tuple[str, int, int, int]]) -> list[Line]:
        lines: list[Line] = []
        at = 0
        for name, key, start, end in spans:
            first = self._starts[bisect_right(self._starts, key) - 1]
            last = self._starts[min(bisect_right(self._starts, end), len(self._starts) - 1)]
            last = len(self._text) if end >= len(self._text) else last
            lines += [Line((line,), ending) for line, ending in split_lines(self._text[at:first])]
            tail, ending = (split_lines(self._text[end:last]) or [("", "")])[0]
            lines.append(Line((self._text[first:start], self._slot(name, start, end), tail), ending))
            at = last
        return lines + [Line((line,), ending) for line, ending in split_lines(self._text[at:])]

    def _slot(self, name: str, start: int, end: int) -> Slot:
        return Slot(("front_matter", name), getattr(self._head.values, name), self._text[start:end])


def is_slug(text: str) -> bool:
    return len(text) <= SLUG_MAX_CHARACTERS and SLUG.fullmatch(text) is not None


def _is_silent(node: Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null" and node.style is None


def _end(node: Node, text: str) -> int:
    """Where the content of a value ends; marks of block collections point behind what follows them."""
    if isinstance(node, yaml.ScalarNode):
        start, end = node.start_mark.index, node.end_mark.index
        return start + len(text[start:end].rstrip()) if node.style in ("|", ">") else end
    if node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last, text)


_VALUES: dict[str, Callable[[_Reader, str, Node], Any]] = {
    "slug": _Reader.slug,
    "kind": _Reader.kind,
    "subject": _Reader.text,
    "preheader": _Reader.text,
    "subject_story": _Reader.number,
    "subjects": _Reader.subjects,
    "intro_for": _Reader.intro_for,
    "topics": _Reader.topics,
    "links": _Reader.links,
}
