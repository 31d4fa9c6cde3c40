"""Import: read and check the whole file, then write it chunk by chunk.

Safe to repeat: the same file again changes nothing, and an import that was broken off is finished by
repeating it.
"""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from subscribers.errors import NewsletterError
from subscribers.failpoints import Point, reach
from subscribers.topics import ensure_topics
from subscribers.transfer import columns as headers
from subscribers.transfer.applying import CHANGED_ROWS, CHUNK_CHARACTERS, CHUNK_ROWS, apply_chunk
from subscribers.transfer.cells import RowRefused
from subscribers.transfer.merging import IMPORT_SOURCE, ImportRun
from subscribers.transfer.options import ImportOptions
from subscribers.transfer.people import Packed, fields_of, person_reader
from subscribers.transfer.reading import BrokenRow, Source, find_header, open_text
from subscribers.transfer.report import ImportReport
from subscribers.transfer.staging import Staging

# Rows between two calls of `on_progress` while the file is read.
PROGRESS_ROWS = 5_000
FILE_NAME_MAX_CHARACTERS = 120
# New objects between two looks for cycles, instead of Python's 700.
COLLECTION_OBJECTS = 100_000

# (rows done, all rows): read first, when the second is not known yet; then written.
Progress = Callable[[int, int | None], None]


class Writers(Protocol):
    """Hands out write transactions; mailer's `Database` is one."""

    def ledger(self) -> AbstractContextManager[Connection]:
        """A durable one."""

    def bulk(self) -> AbstractContextManager[Callable[[], AbstractContextManager[Connection]]]:
        """A way to open many that can be repeated; durable when the block ends."""


def import_csv(
    database: Writers,
    path: Path,
    options: ImportOptions,
    *,
    now: datetime,
    on_progress: Progress | None = None,
) -> ImportReport:
    """Import people from a file. Raises NewsletterError when the file as a whole cannot be read."""
    if not options.basis.strip():
        raise NewsletterError(
            "an import needs a basis: why you may write to these people.",
            field="basis",
            cure='For example: --basis "signed up at the congress booth, April 2026".',
        )
    tell = on_progress or _say_nothing
    report = ImportReport()
    list_names: dict[str, str] = {}  # slug -> name
    with _few_collections(), Staging() as staging:
        with open_text(path) as text:
            source = find_header(text, headers.EMAIL_NAMES, name=str(path))
            columns = headers.read_header(source.header, file=str(path), line=source.header_line)
            report.skipped_columns = columns.skipped
            report.attribute_columns = tuple(name for _, name in columns.attributes)
            with database.ledger() as connection:
                bits = ensure_topics(connection, options.topics)
            read_person = person_reader(columns, options, bits, list_names, now)
            _stage(source, read_person, staging, report, tell, file=str(path))
        reach(Point.IMPORT_READ)
        run = ImportRun(options, _label(path), now, tuple(list_names.values()), fields_of(columns))
        with database.bulk() as transaction:
            chunks = staging.chunks(report.refused, rows=CHUNK_ROWS, characters=CHUNK_CHARACTERS)
            for chunk in _one_ahead(chunks):
                for part in _parts(chunk, report):
                    with transaction() as connection:
                        apply_chunk(connection, part, run, bits, report)
                        reach(Point.IMPORTING)
                    reach(Point.IMPORT_PORTION)
                    tell(report.done, report.read)
    reach(Point.IMPORTED)
    return report


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for reference cycles rarely: a million short-lived rows have none, and looking costs a tenth."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECTION_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _say_nothing(done: int, total: int | None) -> None:
    pass


def _stage(
    source: Source,
    read_person: Callable[[int, list[str]], Packed],
    staging: Staging,
    report: ImportReport,
    tell: Progress,
    *,
    file: str,
) -> None:
    refused = report.refused
    try:
        for line, cells in source.rows():
            report.read += 1
            if report.read % PROGRESS_ROWS == 0:
                tell(report.read, None)
            if isinstance(cells, BrokenRow):
                refused.refuse(line, cells.reason)
                continue
            try:
                staging.add(read_person(line, cells))
            except RowRefused as error:
                refused.refuse(line, error.reason, short=error.short)
    except NewsletterError as error:
        error.file = file
        raise


def _one_ahead(chunks: Iterator[list[Packed]]) -> Iterator[list[Packed]]:
    """The same chunks; the next one is read back while the database is at work on the present one."""

    def take() -> list[Packed]:
        return next(chunks, [])

    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = reader.submit(take)
        while chunk := ahead.result():
            ahead = reader.submit(take)
            yield chunk


def _parts(chunk: list[Packed], report: ImportReport) -> Iterator[list[Packed]]:
    """A chunk, or small parts of it while most people so far have changed."""
    start = 0
    while start < len(chunk):
        is_quick = report.added + report.unchanged + report.suppressed > report.updated
        end = start + (CHUNK_ROWS if is_quick else CHANGED_ROWS)
        yield chunk[start:end]
        start = end


def _label(path: Path) -> str:
    return IMPORT_SOURCE + path.name[:FILE_NAME_MAX_CHARACTERS]
