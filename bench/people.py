"""A large list of invented people, and how long it takes to bring it in.

`python -m bench.people [ROWS]` makes the file and imports it in a process of its own, into a new
database, then once more: nothing changes.
"""

import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

TARGET_SECONDS = 40
TARGET_MEMORY_MB = 200
ROWS = 1_000_000

TOPICS = {"car-t": "CAR-T", "myeloma": "Myeloma", "immunology": "Immunology"}
_CHOICES = ("all", "car-t", "myeloma", "immunology", "car-t;myeloma", "car-t;immunology", "")
_LISTS = ("", "", "", "Congress 2026 booth", "Internal;Congress 2026 booth")
_ZONES = ("Europe/Paris", "America/New_York", "Asia/Tokyo", "")
_GIVEN = ("Ada", "Søren", "Chloé", "Imran", "Ilse", "Tomás", "Priya", "Niamh")
_FAMILY = ("Abara", "Bianchi", "D'Arcy", "Grünwald", "Haddad", "Jansen", "Eriksen")


def make_csv(path: Path, rows: int) -> None:
    """Write `rows` people, always the same: every second one agreed to be measured."""
    draw = random.Random(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("email,name,topics,lists,timezone,track_consent,consent_at,consent_source,hospital\r\n")
        for number in range(rows):
            agreed = number % 2
            file.write(
                f"reader.{draw.getrandbits(40):010x}{number}@mail{number % 5000}.example.com,"
                f"{draw.choice(_GIVEN)} {draw.choice(_FAMILY)},{draw.choice(_CHOICES)},{draw.choice(_LISTS)},"
                f"{draw.choice(_ZONES)},{'yes' if agreed else 'no'},"
                f"{f'2025-11-{number % 28 + 1:02}T09:00:00Z' if agreed else ''},"
                f"{'sign-up form' if agreed else ''},Example Clinic {number % 900}\r\n"
            )


def bench_import(rows: int = ROWS) -> None:
    """Import a large file in its own process; print seconds, rows a second and memory beside the targets."""
    with tempfile.TemporaryDirectory() as folder:
        make_csv(Path(folder) / "people.csv", rows)
        for _ in range(2):
            subprocess.run([sys.executable, "-m", "bench.people", "--import", folder], check=True)


def _import(folder: Path) -> None:
    from mailer.database import Database
    from subscribers.transfer import ImportOptions, import_csv

    database = Database(f"sqlite:///{folder}/people.db")
    database.upgrade()
    options = ImportOptions(basis="bench", suppression_key="bench", topics=TOPICS)
    begun = time.perf_counter()
    report = import_csv(database, folder / "people.csv", options, now=datetime.now(UTC))
    seconds = time.perf_counter() - begun
    database.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"import: {report.read:,} rows ({report.added:,} added, {report.unchanged:,} unchanged) in "
        f"{seconds:.1f} s (target {TARGET_SECONDS}), {report.read / seconds:,.0f} rows/s, "
        f"peak {memory} MB (target {TARGET_MEMORY_MB})"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--import"]:
        _import(Path(sys.argv[2]))
    else:
        bench_import(int(sys.argv[1]) if sys.argv[1:] else ROWS)
