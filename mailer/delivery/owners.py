"""Who works on a chunk: a name by which another process of the same machine sees that its owner died.

A lease ends by itself; a dead owner's ends at once. It never calls a living owner dead: where that
cannot be known (another machine, another container), the lease alone decides.
"""

import os
import socket
import uuid
from functools import cache
from pathlib import Path

# One value for the life of this process: a later process may get the same number.
_PROCESS = uuid.uuid4().hex[:12]


def new_owner() -> str:
    """A name for one sending thread of this process."""
    return f"{_machine()}/{os.getpid()}/{_PROCESS}/{uuid.uuid4().hex[:8]}"


def is_gone(owner: str | None) -> bool:
    """Whether the process behind a name is certainly over."""
    parts = (owner or "").split("/")
    if len(parts) != 4 or parts[0] != _machine() or not parts[1].isdigit():
        return False
    number = int(parts[1])
    if number == os.getpid():
        return parts[2] != _PROCESS
    if os.name == "nt":
        return False  # os.kill would end it there
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_corpse(number)


def _is_corpse(number: int) -> bool:
    """Whether a process is dead and merely not yet buried by its parent (Linux tells)."""
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # proc(5): the state follows the name, which stands in brackets and may hold anything.
    return status.rpartition(")")[2].split()[:1] in (["Z"], ["X"])


@cache
def _machine() -> str:
    """This host, this boot and this process namespace: numbers of processes compare within it only."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        boot = namespace = "-"
    return f"{socket.gethostname().replace('/', '-')}:{boot}:{namespace}"
