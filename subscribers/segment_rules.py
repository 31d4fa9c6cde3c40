"""A segment's rule as people write it: JSON read strictly into a checked tree.

The tree knows `all`, `any`, `not` and conditions; what a condition means is a leaf's business. Nothing
here touches a database, and no text of a rule ever becomes SQL. Every fault is reported with its path.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, not_, or_

from subscribers.errors import NewsletterError, Problem
from subscribers.nearest import did_you_mean

# A rule that a person can still read; far below what SQLite (1,000) and Python nest.
MAX_DEPTH = 20
MAX_CONDITIONS = 200
# Values in the lists of all conditions together; every one is a parameter, of which SQLite takes 32,766.
MAX_VALUES = 5_000
MAX_TEXT_BYTES = 65_536
MAX_VALUE_CHARACTERS = 500

GROUPS = ("all", "any", "not")
_OTHER_WORDS = {"and": "all", "or": "any"}
EXAMPLE = '{"all": [{"topic": "car-t"}, {"not": {"list": "internal"}}]}'


class Refused(Exception):
    """What is wrong with a leaf's argument; `at` continues the path (".days", "[2]")."""

    def __init__(self, message: str, cure: str | None = None, at: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure
        self.at = at


@dataclass(frozen=True, slots=True)
class Phrase:
    """A condition in words after "Readers who …", and its opposite."""

    yes: str
    no: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """One kind of condition: how its argument is read, what it selects, how it is said.

    `condition(argument, moment)` is true or false of every reader; of one about whom nobody can know it
    is `moment.doubt` (docs/decisions/0041-unmeasured-readers.md).
    """

    name: str
    example: Any
    meaning: str
    read: Callable[[Any], Any]
    condition: "Callable[[Any, Moment], ColumnElement[bool]]"
    words: Callable[[Any], Phrase]
    # Often true of most of a list, and cheap to ask of a few: decides how a count takes off the suppressed.
    is_wide: bool = False
    # `holders(argument)`: the ids of everybody of whom it is true, each once, from one index. A count of
    # this condition alone then looks at those readers and at the few who may not be mailed.
    holders: Callable[[Any], Select[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What a condition may depend on besides its argument."""

    now: datetime
    excluding: bool = False  # the segment is used to leave readers out
    # What holds of a reader about whom nobody can know: false, and true within a `not`, so that neither
    # a condition nor its opposite picks them.
    doubt: bool = False

    def within_not(self) -> "Moment":
        return replace(self, doubt=not self.doubt)


LeafRegistry = Mapping[str, Leaf]


@dataclass(frozen=True, slots=True)
class Condition:
    leaf: Leaf
    argument: Any


@dataclass(frozen=True, slots=True)
class Group:
    """`word` is "all" or "any"."""

    word: str
    parts: "tuple[Rule, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    part: "Rule"


Rule = Condition | Group | Not


def read_json(source: str | bytes, *, file: str | None = None) -> Any:
    """The JSON value of a rule file. Raises NewsletterError with file and line."""
    text = _text(source, file)
    _refuse_deep_brackets(text, file)

    def refuse(message: str, line: int | None = None) -> NewsletterError:
        return NewsletterError(f"{message}", file=file, line=line, cure=f"A rule looks like {EXAMPLE}.")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise refuse(f"the key '{_shown(key)}' stands twice in one object.")
            found[key] = value
        return found

    def no_constant(word: str) -> Any:
        raise refuse(f"{word} is no JSON number.")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise refuse(f"this is no valid JSON: {error.msg} (column {error.colno}).", error.lineno) from None
    except ValueError:  # Python reads no integers of more than 4,300 digits
        raise refuse("a number in this rule has too many digits.") from None


def read_rule(value: Any, leaves: LeafRegistry, *, file: str | None = None) -> Rule:
    """The checked tree of a JSON value. Raises NewsletterError of all faults, each with its path."""
    reader = _Reader(leaves)
    rule = reader.rule(value, "", 1)
    if reader.problems:
        raise NewsletterError.of(reader.problems, file=file)
    assert rule is not None
    return rule


def condition(rule: Rule, moment: Moment) -> ColumnElement[bool]:
    """The SQL of a tree: true of the readers it picks."""
    if isinstance(rule, Condition):
        return rule.leaf.condition(rule.argument, moment)
    if isinstance(rule, Not):
        return not_(condition(rule.part, moment.within_not()))
    parts = [condition(part, moment) for part in rule.parts]
    return and_(*parts) if rule.word == "all" else or_(*parts)


def words(rule: Rule) -> str:
    """What a tree selects: "Readers who …"."""
    return f"Readers who {_phrase(rule, positive=True, nested=False)}."


def leaves_of(rule: Rule) -> list[Leaf]:
    """The leaf of every condition in a tree."""
    if isinstance(rule, Condition):
        return [rule.leaf]
    if isinstance(rule, Not):
        return leaves_of(rule.part)
    return [leaf for part in rule.parts for leaf in leaves_of(part)]


# -- for leaves: strict readers of arguments -----------------------------------------------------


def text_value(value: Any, what: str, at: str = "") -> str:
    """A short text without control characters."""
    if not isinstance(value, str):
        raise Refused(f"{what} is a text in quotes, not {json_kind(value)}.", at=at)
    if not value.strip():
        raise Refused(f"{what} is empty.", at=at)
    if len(value) > MAX_VALUE_CHARACTERS:
        raise Refused(f"{what} has more than {MAX_VALUE_CHARACTERS} characters.", at=at)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise Refused(f"{what} has a control character.", at=at)
    return value


def number_value(value: Any, what: str, *, low: int, high: int, at: str = "") -> int:
    """A whole number from `low` to `high`; true and 3.0 are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(f"{what} is a whole number, not {json_kind(value)}.", at=at)
    if not low <= value <= high:
        raise Refused(f"{what} is a whole number from {low} to {high}, not {value}.", at=at)
    return value


def true_or_false(value: Any, what: str, at: str = "") -> bool:
    if not isinstance(value, bool):
        raise Refused(f"{what} is true or false, not {json_kind(value)}.", at=at)
    return value


def keyed_value(value: Any, what: str, *, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """An object with exactly these keys."""
    if not isinstance(value, dict):
        raise Refused(f"{what} is an object with {_listed(required)}, not {json_kind(value)}.")
    for key in value:
        if key not in required and key not in optional:
            raise Refused(
                f"{what} has no key '{_shown(key)}'.",
                nearest_or_all(key, [*required, *optional]),
                at=f".{_shown(key)}",
            )
    missing = [key for key in required if key not in value]
    if missing:
        raise Refused(f"{what} needs {_listed(missing)}.")
    return value


def declared_value(value: Any, known: Mapping[str, str], what: str, kind: str, at: str = "") -> str:
    """One of the names that exist; `kind` completes "'cart' is not …"."""
    name = text_value(value, what, at)
    if name not in known:
        raise Refused(f"'{_shown(name)}' is not {kind}.", nearest_or_all(name, list(known)), at=at)
    return name


def nearest_or_all(name: str, known: Sequence[str]) -> str:
    """ "Did you mean 'car-t'?", else what there is."""
    meant = did_you_mean(name.casefold(), known)
    if meant:
        return meant.rstrip()
    return f"There is: {', '.join(sorted(known)[:20])}." if known else "There is none yet."


def json_kind(value: Any) -> str:
    """What a JSON value is, for people: "a number", "a list"."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return "nothing (null)" if value is None else kinds.get(type(value), "an object")


# -- the reading of a tree ------------------------------------------------------------------------


class _Reader:
    """Walks a JSON value once and collects every fault."""

    def __init__(self, leaves: LeafRegistry) -> None:
        self._leaves = leaves
        self._conditions = self._values = 0
        self.problems: list[Problem] = []

    def rule(self, value: Any, path: str, depth: int) -> Rule | None:
        if depth > MAX_DEPTH:
            self._fault(path, f"the rule is nested deeper than {MAX_DEPTH} levels.")
            return None
        if not isinstance(value, dict) or len(value) != 1:
            found = f"an object with {len(value)} keys" if isinstance(value, dict) else json_kind(value)
            self._fault(
                path, f"a rule is an object with one key, not {found}.", f"A rule looks like {EXAMPLE}."
            )
            return None
        ((key, inner),) = value.items()
        here = f"{path}.{_shown(str(key))}" if path else _shown(str(key))
        if key == "not":
            part = self.rule(inner, here, depth + 1)
            return Not(part) if part is not None else None
        if key in ("all", "any"):
            return self._group(key, inner, here, depth)
        return self._condition(str(key), inner, here)

    def _group(self, word: str, value: Any, here: str, depth: int) -> Rule | None:
        if not isinstance(value, list) or not value:
            found = "an empty one" if value == [] else json_kind(value)
            self._fault(here, f"'{word}' holds a list of at least one rule, not {found}.")
            return None
        parts = [self.rule(part, f"{here}[{index}]", depth + 1) for index, part in enumerate(value)]
        return Group(word, tuple(part for part in parts if part is not None)) if all(parts) else None

    def _condition(self, name: str, value: Any, here: str) -> Rule | None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            if self._conditions == MAX_CONDITIONS + 1:
                self._fault(here, f"the rule has more than {MAX_CONDITIONS} conditions.")
            return None
        leaf = self._leaves.get(name)
        if leaf is None:
            known = [*GROUPS, *self._leaves]
            meant = _OTHER_WORDS.get(name.casefold())
            cure = f"Say '{meant}' instead." if meant else nearest_or_all(name, known)
            self._fault(here, f"there is no condition '{_shown(name)}'.", cure)
            return None
        before = self._values
        self._values += _values_in(value)
        if self._values > MAX_VALUES:
            if before <= MAX_VALUES:
                self._fault(here, f"the lists in the rule have more than {MAX_VALUES:,} values together.")
            return None
        try:
            return Condition(leaf, leaf.read(value))
        except Refused as refused:
            example = f"For example {json.dumps({name: leaf.example}, ensure_ascii=False)}."
            self._fault(here + refused.at, refused.message, refused.cure or example)
            return None

    def _fault(self, path: str, message: str, cure: str | None = None) -> None:
        where = path or "the rule"
        self.problems.append(Problem(f"{where}: {message}", field=path or None, cure=cure))


def _values_in(value: Any) -> int:
    """How many values the lists of a condition's argument hold."""
    if isinstance(value, dict):
        return sum(map(_values_in, value.values()))
    return len(value) if isinstance(value, list) else 0


def _text(source: str | bytes, file: str | None) -> str:
    size = len(source) if isinstance(source, bytes) else len(source.encode("utf-8", "surrogatepass"))
    if size > MAX_TEXT_BYTES:
        raise NewsletterError(
            f"a rule has at most {MAX_TEXT_BYTES:,} bytes, this one has {size:,}.", file=file
        )
    if isinstance(source, str):
        return source
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NewsletterError(
            f"this file is not UTF-8 (byte {error.start}).", file=file, cure="Save it as UTF-8."
        ) from None


def _refuse_deep_brackets(text: str, file: str | None) -> None:
    """Count brackets before the JSON reader recurses into them; those in strings do not count."""
    # Two brackets a level (`{"all": [`), and an argument's own.
    limit = 2 * MAX_DEPTH + 4
    depth = line = 0
    # Possessive, and a string may lack its end: each character is looked at once.
    for token in re.finditer(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]|\n', text, flags=re.DOTALL):
        mark = token.group()
        line += mark.count("\n")
        depth += (mark in "[{") - (mark in "]}")
        if depth > limit:
            raise NewsletterError(
                f"the rule is nested deeper than {MAX_DEPTH} levels.",
                file=file,
                line=line + 1,
                cure=f"A rule looks like {EXAMPLE}.",
            )


def _phrase(rule: Rule, *, positive: bool, nested: bool) -> str:
    if isinstance(rule, Condition):
        phrase = rule.leaf.words(rule.argument)
        return phrase.yes if positive else phrase.no
    if isinstance(rule, Not):
        return _phrase(rule.part, positive=not positive, nested=nested)
    # "not (a and b)" is said as "not a or not b".
    both = (rule.word == "all") is positive
    if len(rule.parts) == 1:
        return _phrase(rule.parts[0], positive=positive, nested=nested)
    said = (" and " if both else " or ").join(
        _phrase(part, positive=positive, nested=True) for part in rule.parts
    )
    return f"({said})" if nested else said


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _shown(text: str) -> str:
    """Text of a file in a message: short, and without what a terminal would obey."""
    clean = "".join(character if character.isprintable() else "�" for character in text)
    return clean if len(clean) <= 60 else clean[:57] + "…"
