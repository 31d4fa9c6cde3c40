"""How long an edition takes from content to HTML and text, in a warm process."""

import statistics
import time
from pathlib import Path

from mailer.config import load_settings
from mailer.editions.compose import compose
from mailer.editions.render import render_preview
from mailer.editions.select import every_selection
from mailer.issues.store import read_unstored

ROOT = Path(__file__).parent.parent
TARGET_MS = 20
ROUNDS = 10


def main() -> None:
    """Print the median over all editions of the example issue."""
    settings = load_settings(ROOT / "config.toml")
    path = ROOT / "examples/week-04.md"
    issue = read_unstored(path.read_bytes(), file=path.name, slug=None, settings=settings).issue
    contents = [compose(issue, selection, settings) for selection in every_selection(issue, settings)]
    for content in contents:
        render_preview(content, settings)
    times = []
    for _ in range(ROUNDS):
        for content in contents:
            begun = time.perf_counter()
            render_preview(content, settings)
            times.append((time.perf_counter() - begun) * 1000)
    print(
        f"render: {len(contents)} editions, median {statistics.median(times):.1f} ms warm "
        f"(target {TARGET_MS}), slowest {max(times):.1f} ms"
    )


if __name__ == "__main__":
    main()
