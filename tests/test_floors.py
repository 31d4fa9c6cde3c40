"""Gravity: an import falls one way, and three names are known in one place each."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up. A room may import what stands before it, and itself.
FLOORS = [
    "subscribers",
    "core",
    "issues",
    "editions",
    "delivery",
    "tracking",
    "insight",
    "sandbox",
    "service",
    "doors",
]
CORE = {
    "bulk",
    "config",
    "config_errors",
    "config_tables",
    "database",
    "dialect",
    "event_models",
    "house_models",
    "links",
    "listening",
    "measuring",
    "memory",
    "migrations",
    "models",
    "sqlite_files",
    "tables",
    "templates",
    "trouble",
    "urls",
}
SERVICE = {"service", "site"}
DOORS = {"cli", "web", "clock", "serving", "demo", "__init__", "__main__"}
# The sandbox stands in for an outside company: of the house it may know the ground floor only.
SANDBOX_MAY_SEE = {"subscribers", "core", "sandbox"}


def _floor(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "subscribers":
        return "subscribers"
    if parts[0] != "mailer":
        return None
    room = parts[1] if len(parts) > 1 else "__init__"
    for floor, rooms in (("core", CORE), ("service", SERVICE), ("doors", DOORS)):
        if room in rooms:
            return floor
    return room


def _files() -> list[Path]:
    return sorted(path for room in ("subscribers", "mailer") for path in (ROOT / room).rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}"


@pytest.mark.parametrize("path", _files(), ids=_module)
def test_every_import_falls(path: Path) -> None:
    if "versions" in path.parts:
        return
    own = _floor(_module(path))
    assert own in FLOORS, f"{path} stands on no floor: name it in {Path(__file__).name}"
    for line, imported in _imports(path):
        floor = _floor(imported)
        if floor is None:
            continue
        where = f"{path.relative_to(ROOT)}:{line} imports {imported}"
        if own == "sandbox":
            assert floor in SANDBOX_MAY_SEE, where
        else:
            assert FLOORS.index(floor) <= FLOORS.index(own), where


def test_no_two_modules_lean_on_each_other() -> None:
    paths = {_module(path): path for path in _files()}
    leans_on = {
        module: {
            name
            for _, imported in _imports(path)
            for name in (imported, imported.rpartition(".")[0], f"{imported}.__init__")
            if name in paths and name != module
        }
        for module, path in paths.items()
    }
    try:
        tuple(TopologicalSorter(leans_on).static_order())
    except CycleError as cycle:
        pytest.fail(f"imports go round in a circle: {' <- '.join(cycle.args[1])}")


def test_only_dialect_reads_the_name_of_the_dialect() -> None:
    readers = [
        str(path.relative_to(ROOT))
        for path in _files()
        if ".dialect.name" in path.read_text(encoding="utf-8") and path.name != "dialect.py"
    ]
    assert readers == []


def test_only_one_place_speaks_with_the_provider() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in _files()
        for _, imported in _imports(path)
        if imported.split(".")[0] in {"sendgrid", "python_http_client"}
    }
    assert users, "the sendgrid SDK must be in real use"
    assert all(user.startswith("mailer/delivery/sendgrid") for user in users)
