"""What a large job has freed goes back to the system."""

import ctypes
import resource
import sys
from pathlib import Path

import pytest

from mailer.memory import give_back

BLOCK_BYTES = 8_000  # far below the size from which the C library asks the system for each block


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="this C library cannot return memory",
)
def test_memory_that_was_freed_below_what_still_lives_goes_back() -> None:
    blocks = [bytearray(BLOCK_BYTES) for _ in range(10_000)]
    still_alive = blocks.pop()
    blocks.clear()
    before = resident_bytes()
    give_back()
    assert before - resident_bytes() > 40_000_000
    assert len(still_alive) == BLOCK_BYTES
