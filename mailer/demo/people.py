"""Three hundred invented readers: every combination of topics, with and without tracking consent."""

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GIVEN = (
    "Ada", "Amara", "Anouk", "Bela", "Benedikt", "Chiara", "Chloé", "Dara", "Edith", "Emre",
    "Farah", "Finn", "Greta", "Hugo", "Ilse", "Imran", "Ines", "Jonas", "Kaia", "Leila",
    "Luca", "Maja", "Mateo", "Nadia", "Niamh", "Oskar", "Priya", "Rosa", "Søren", "Tomás",
)  # fmt: skip
FAMILY = (
    "Abara", "Bianchi", "Castell", "D'Arcy", "Eriksen", "Fontaine", "Grünwald", "Haddad", "Iversen", "Jansen",
)  # fmt: skip
DOMAINS = ("example.com", "example.org", "example.net")
ZONES = ("Europe/Paris", "America/New_York", "Asia/Tokyo", "")
LISTS = ("", "", "Congress 2026 booth", "")
CONSENT_WORDING = "You may count which of your newsletters I open and what I click."
READERS = 300
# Of the last twenty, these many left by themselves; the others must never be mailed.
LEAVERS = 12
SUPPRESSED = 8


@dataclass(frozen=True, slots=True)
class ExampleReaders:
    """Files to import, and addresses that are suppressed or have left."""

    active: Path
    leavers: Path
    suppressed: tuple[str, ...]


def write_example_readers(folder: Path, topics: Sequence[str]) -> ExampleReaders:
    """Write two CSV files of readers and name the suppressed ones; the same at every call."""
    rows = [_reader(number, topics) for number in range(READERS)]
    leavers = rows[-LEAVERS:]
    suppressed = tuple(row["email"] for row in rows[-LEAVERS - SUPPRESSED : -LEAVERS])
    return ExampleReaders(
        active=_write(folder / "readers.csv", rows[:-LEAVERS]),
        leavers=_write(folder / "leavers.csv", leavers),
        suppressed=suppressed,
    )


def _reader(number: int, topics: Sequence[str]) -> dict[str, str]:
    given, family = GIVEN[number % len(GIVEN)], FAMILY[number // len(GIVEN) % len(FAMILY)]
    choices = [
        ";".join(chosen)
        for count in range(1, len(topics) + 1)
        for chosen in itertools.combinations(topics, count)
    ]
    choices.append("all")
    consents = number % 5 != 0  # four of five agreed to be measured
    return {
        "email": f"reader{number:03}@{DOMAINS[number % len(DOMAINS)]}",
        "name": "" if number % 17 == 0 else f"{given} {family}",
        "topics": choices[number % len(choices)],
        "lists": LISTS[number % len(LISTS)],
        "timezone": ZONES[number % len(ZONES)],
        "track_consent": "yes" if consents else "no",
        "consent_at": "2025-11-03T09:00:00Z" if consents else "",
        "consent_source": "sign-up form" if consents else "",
        "consent_wording": CONSENT_WORDING if consents else "",
        "hospital": f"Example Clinic {number % 9 + 1}",
    }


def _write(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
