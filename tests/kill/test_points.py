"""The points at which a process may be made to die: the list is whole, and none does anything by itself."""

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from subscribers import failpoints
from subscribers.errors import NewsletterError
from subscribers.failpoints import Point
from tests.conftest import ROOT


def test_every_point_stands_in_the_code_once() -> None:
    found = Counter(
        node.args[0].attr
        for room in ("mailer", "subscribers")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "reach"
        and isinstance(node.args[0], ast.Attribute)
    )
    assert found == Counter(point.name for point in Point)


def test_a_process_that_was_told_nothing_passes_every_point() -> None:
    failpoints.arm({})
    for point in Point:
        failpoints.reach(point)


@pytest.mark.parametrize("named", ["nowhere", "before the call:x", "before the call:1:dance"])
def test_a_point_that_is_none_is_refused(named: str) -> None:
    with pytest.raises(NewsletterError, match="is no failpoint"):
        failpoints.arm({failpoints.POINT: named})
    failpoints.arm({})


def test_a_seed_without_a_chance_is_refused() -> None:
    with pytest.raises(NewsletterError, match="is no seed and chance"):
        failpoints.arm({failpoints.SEED: "7"})
    failpoints.arm({})


@pytest.mark.parametrize(
    ("variables", "passed"),
    [
        ({failpoints.POINT: "before the call:3"}, 2),
        ({failpoints.SEED: "7:0.2"}, 9),
        ({failpoints.SEED: "8:0.2"}, 8),
    ],
)
def test_a_process_dies_where_and_when_it_was_told_and_leaves_word(
    tmp_path: Path, variables: dict[str, str], passed: int
) -> None:
    code = "import os\nfrom subscribers.failpoints import Point, reach\n"
    code += "for number in range(50):\n    print(number, flush=True)\n    reach(Point.BEGUN)\n"
    log = tmp_path / "deaths"
    victim = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **variables, failpoints.LOG: str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert victim.returncode == -signal.SIGKILL
    assert victim.stdout.split() == [str(number) for number in range(passed + 1)]
    assert log.read_text() == f"{Point.BEGUN}\n"
