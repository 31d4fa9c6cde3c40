"""What is wrong with a configuration, in words: file, line, table, key, and a line that would be right.

Never shows a value: it may be a secret.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from subscribers.errors import NewsletterError, Problem
from subscribers.nearest import did_you_mean, nearest

Location = tuple[str, ...]


def refusal(
    error: ValidationError, files: Sequence[Path], settings: type[BaseModel], prefix: str
) -> NewsletterError:
    """One error for every fault that pydantic found; `files` in the order in which they are read."""
    faults = [
        (_location(fault["loc"]), fault["type"], fault["msg"])
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    place = _place(faults[0][0], files, prefix)[0]
    problems = [
        _problem(location, kind, said, files, place, settings, prefix) for location, kind, said in faults
    ]
    return NewsletterError.of(problems, file=place)


def _location(parts: tuple[int | str, ...]) -> Location:
    """Table and key; what lies within a list belongs to its key."""
    named = []
    for part in parts:
        if isinstance(part, int):
            break
        if part != "[key]":
            named.append(part)
    return tuple(named)


def _problem(
    location: Location,
    kind: str,
    said: str,
    files: Sequence[Path],
    place: str,
    settings: type[BaseModel],
    prefix: str,
) -> Problem:
    table, key = ".".join(location[:-1]), location[-1] if location else ""
    named = key_named = f"[{table}] {key}" if table else f"[{key}]" if key else "the configuration"
    own_place, line = _place(location, files, prefix)
    if own_place not in map(str, files):
        named = own_place
    where = "" if own_place == place else f"{Path(own_place).name}: "
    if kind == "extra_forbidden":
        known = _keys(settings, location[:-1])
        inside = f"in [{table}]" if table else "as a table"
        close = nearest(key, known)
        example = _example(settings, (*location[:-1], *([close] if close else known[:1])))
        cure = f"{did_you_mean(key, known)}For example {example}."
        if own_place in map(str, files[1:]):  # a secret may have been typed where its name belongs
            return Problem(f"{where}this key is not known {inside}.", line, f"[{table or '…'}]", cure)
        return Problem(f"{where}'{key}' is not known {inside}.", line, named, cure)
    is_of_slug = location[:1] == ("topics",) and len(location) == 2
    if is_of_slug and kind == "string_pattern_mismatch":
        cure = "Small letters, digits and hyphens, for example [topics.car-t]."
        return Problem(f"{where}'{key}' is no slug of a topic.", line, named, cure)
    # A slug that has a meaning of its own must not be shown as the example of a good one.
    example = "[topics.car-t]" if is_of_slug and kind == "value_error" else _example(settings, location)
    said = said.removeprefix("Value error, ").replace("tuple", "list").replace("an object", "a table")
    return Problem(
        f"{where}{key_named}: {said[:1].lower()}{said[1:]}.", line, named, f"For example {example}."
    )


def _place(location: Location, files: Sequence[Path], prefix: str) -> tuple[str, int | None]:
    """The variable, or the file and line, that says this key; the one that is read last wins."""
    variable = prefix + "__".join(location).upper()
    if variable in os.environ:
        return variable, None
    for path in reversed(files):
        line = _line_of(path, location)
        if line is not None:
            return str(path), line
    return str(files[0]), None


def _line_of(path: Path, location: Location) -> int | None:
    if not location or not path.is_file():
        return None
    table, key, current = ".".join(location[:-1]), location[-1], ""
    for number, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        stripped = text.strip()
        if stripped.startswith("["):
            current = stripped.split("#")[0].strip().strip("[]").strip().replace('"', "")
            if current == ".".join(location):
                return number
        elif current == table and stripped.split("=")[0].strip().strip("\"'") == key:
            return number
    return None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not None:
        for inner in get_args(annotation):
            yield from _models(inner)


def _model_at(settings: type[BaseModel], location: Location) -> type[BaseModel] | None:
    model: type[BaseModel] | None = settings
    for part in location:
        if model is None:
            return None
        field = model.model_fields.get(part)
        if field is not None:  # otherwise the slug of a topic: the model of its values stays
            model = next(_models(field.annotation), None)
    return model


def _keys(settings: type[BaseModel], location: Location) -> list[str]:
    model = _model_at(settings, location)
    return [name for name, field in model.model_fields.items() if not field.exclude] if model else []


def _example(settings: type[BaseModel], location: Location) -> str:
    """A line that would be right at this place, made from the default of the field."""
    if not location:
        return '[newsletter] name = "Hematology Weekly"'
    model = _model_at(settings, location[:-1])
    field = model.model_fields.get(location[-1]) if model else None
    if model is None and (example := _example_of_mapping(settings, location)):
        return example
    if field is None or next(_models(field.annotation), None) is not None:
        keys = _keys(settings, location)
        return f"[{'.'.join(location)}] with {keys[0]} = …" if keys else f"[{'.'.join(location)}]"
    default = field.examples[0] if field.examples else field.get_default(call_default_factory=True)
    return f"[{'.'.join(location[:-1])}] {location[-1]} = {_shown(default)}"


def _example_of_mapping(settings: type[BaseModel], location: Location) -> str:
    """A line of a table whose keys are anybody's own; empty when the place is in none."""
    *above, table, key = location if len(location) > 1 else ("", *location)
    owner = _model_at(settings, tuple(above))
    field = owner.model_fields.get(table) if owner else None
    if field is None or not field.examples:
        return ""
    return f'[{".".join(location[:-1])}] "{key}" = {_shown(field.examples[0])}'


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int | float):
        return str(default)
    if isinstance(default, tuple):
        return "[" + ", ".join(_shown(value) for value in default[:2]) + "]" if default else '["…"]'
    if isinstance(default, str) and default and not isinstance(default, SecretStr):
        return f'"{default}"'
    return '"…"'
