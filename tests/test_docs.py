"""The docs tell the truth: every command, option and key is in them, and their links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mailer.cli.commands import app
from mailer.config import Settings
from mailer.config_tables import TopicTable

ROOT = Path(__file__).parent.parent
DOCS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def _commands(command: Any, path: str = "mailer") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _commands(child, f"{path} {name}")


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_every_command_and_option_is_documented(path: str) -> None:
    section = _section((ROOT / "docs/cli.md").read_text(encoding="utf-8"), f"`{path}")
    assert section, f"docs/cli.md has no heading for `{path}`"
    for parameter in COMMANDS[path].params:
        if parameter.param_type_name != "option" or parameter.name == "help":
            continue
        assert any(option in section for option in parameter.opts), f"{path}: {parameter.opts}"


def _section(text: str, heading: str) -> str:
    parts = re.split(r"^### ", text, flags=re.MULTILINE)
    for part in parts:
        first = part.split("\n", 1)[0]
        if first.startswith((heading + "`", heading + " ")):
            return part
    return ""


def test_no_command_is_documented_that_does_not_exist() -> None:
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### `(mailer [^`]*)`", text, flags=re.MULTILINE)
    for heading in headings:
        assert any(heading == path or heading.startswith(path + " ") for path in COMMANDS), heading


def _keys() -> Iterator[tuple[str, str, FieldInfo]]:
    for table, field in Settings.model_fields.items():
        if field.exclude:
            continue
        if table == "topics":
            yield from (("topics.SLUG", key, inner) for key, inner in TopicTable.model_fields.items())
            continue
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        yield from ((table, key, inner) for key, inner in model.model_fields.items())


@pytest.mark.parametrize(("table", "key", "field"), list(_keys()), ids=lambda value: str(value)[:40])
def test_every_key_is_documented_with_its_default(table: str, key: str, field: FieldInfo) -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    section = text.split(f"\n## [{table}]\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith(f"| `{key}` |")]
    assert rows, f"docs/configuration.md: [{table}] {key} is missing"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, str | bool | int | float) and not field.is_required():
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        assert f"`{shown}`" in rows[0] or f'`"{shown}"`' in rows[0], rows[0]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
