"""Files that people name on a command line, read with a clear word when they cannot be; and locked ones."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from subscribers.errors import NewsletterError

try:
    import fcntl
except ImportError:  # Windows: a site is worked on by one process there
    fcntl = None  # type: ignore[assignment]

# Far above any issue or rule; a wrong file (a video, a disk image) is refused before it fills the memory.
FILE_MAX_BYTES = 10_000_000


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises NewsletterError when it is missing, unreadable or far too large."""
    try:
        if path.is_file() and path.stat().st_size > FILE_MAX_BYTES:
            raise NewsletterError(
                f"this file has {path.stat().st_size:,} bytes; at most {FILE_MAX_BYTES:,} are read.",
                file=str(path),
                cure="Name the text file of the issue.",
            )
        return path.read_bytes()
    except OSError as error:
        raise NewsletterError(
            f"cannot read this file: {error.strerror}.",
            file=str(path),
            cure="Check its name and permissions.",
        ) from None


@contextmanager
def locked(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """A file to read and append to, made when missing; no other process has it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    with os.fdopen(descriptor, "r+b") as file:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the descriptor
        yield file
