"""Memory that a large job has freed goes back to the system: a process stays as small as what it does now.

The C library keeps what was freed below anything that still lives, and keeps it for each thread: 50 MiB of
a freeze of a million readers would stay with the sender for as long as it runs.
"""

import ctypes
import sys


def give_back() -> None:
    """Return free memory to the system, where the C library can (glibc); a few milliseconds."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
