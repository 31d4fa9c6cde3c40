"""Counts segments, and the numbers of a campaign, among a million readers, the target beside each.

    python -m bench.segments [READERS] [--keep FILE]

The site is made up by `bench.world` (a minute or two); --keep uses FILE and leaves it for the next run.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.world import NOW, READERS, TOPICS, build
from mailer.config import Settings
from mailer.config_tables import TopicTable
from mailer.database import Database
from mailer.insight import counts
from mailer.insight.leaves import registry
from mailer.insight.stats import campaign_stats
from subscribers import segments

ROUNDS = 3  # the best of; the first of a process also reads the file
LEAF_TARGET_MS = 300
TREE_TARGET_MS = 1_000
# A page reads what was counted before (facts of the design: 50 to 100 ms).
PAGE_TARGET_MS = 100
COUNT_TARGET_MS = 3_000

LEAVES: tuple[dict[str, Any], ...] = (
    {"topic": "car-t"},
    {"all_topics": True},
    {"list": "internal"},
    {"list": "congress-2026"},
    {"list": "everybody"},
    {"attribute": {"name": "country", "is": "FR"}},
    {"attribute": {"name": "country", "is_one_of": ["FR", "DE", "IT"]}},
    {"attribute": {"name": "company", "contains": "hospital 49"}},
    {"status": "active"},
    {"zone": "Asia/Tokyo"},
    {"zone": "Europe"},
    {"joined_since": "2026-01-01"},
    {"joined_within_days": 30},
    {"opened_within_days": 90},
    {"opened_within_days": {"days": 90, "or_unmeasured": True}},
    {"clicked_within_days": 30},
    {"clicked": {"campaign": 3}},
    {"clicked": {"campaign": 3, "story": 2}},
    {"clicked": {"campaign": 3, "place": "story:5"}},
    {"received": {"campaign": 3}},
)
TREES = Path(__file__).parent.parent / "examples/segments"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="?", type=int, default=READERS)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = build(options.keep or Path(folder) / "world.db", options.readers)
        _segments(database)
        _numbers(database)
        database.close()


def _segments(database: Database) -> None:
    settings = Settings(topics={slug: TopicTable(name=slug) for slug in TOPICS})
    trees = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(TREES.glob("*.json"))}
    with database.reader() as connection:
        leaves = registry(connection, settings)

        def count(rule: dict[str, Any], what: str, target_ms: int) -> None:
            _report(what, lambda: segments.count(connection, rule, leaves, NOW), target_ms)

        for leaf in LEAVES:
            count(leaf, json.dumps(leaf), LEAF_TARGET_MS)
        for leaf in LEAVES:
            count({"not": leaf}, f"not {json.dumps(leaf)}", TREE_TARGET_MS)
        for name, tree in trees.items():
            count(tree, f"examples/segments/{name}.json", TREE_TARGET_MS)


def _numbers(database: Database) -> None:
    def anew() -> int:
        with database.reader() as connection:
            return campaign_stats(connection, 3).opened.human

    _report("numbers of a campaign, counted from its rows", anew, COUNT_TARGET_MS)
    counts.count(database, 3, now=NOW)
    _report(
        "numbers of a campaign, as a page shows them",
        lambda: counts.latest(database, 3, now=NOW).stats.opened.human,
        PAGE_TARGET_MS,
    )


def _report(what: str, measure: Callable[[], int], target_ms: int) -> None:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        found = measure()
        best = min(best, 1000 * (time.perf_counter() - started))
    mark = "ok" if best <= target_ms else "MISSED"
    print(f"{best:7.0f} ms  (target {target_ms:5,})  {mark:6}  {found:9,}  {what}", flush=True)


if __name__ == "__main__":
    main()
