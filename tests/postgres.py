"""Run the tests that touch a database on PostgreSQL: `python -m tests.postgres`, or `make test-postgres`.

The server is that of DATABASE_URL; else a cluster of our own, made from the binaries on this machine under
a user who is not root, in a folder that goes when we go. Where there are none and we are root, Debian's
package is installed. Otherwise it says so and passes; with NEWSLETTER_POSTGRES_REQUIRED set, it fails.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.databases import VARIABLE

SERVER_VARIABLE = "DATABASE_URL"
REQUIRED_VARIABLE = "NEWSLETTER_POSTGRES_REQUIRED"
# Issues, editions, the sandbox and the browser never ask the site's database, so that they would only say
# again what they said on SQLite.
PLACES = (
    "tests/delivery",
    "tests/insight",
    "tests/journeys",
    "tests/service",
    "tests/subscribers",
    "tests/test_database.py",
    "tests/test_schema.py",
    "tests/tracking",
    "tests/web",
)
SIDE_BY_SIDE = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")
# Where Debian and its kin keep the server's programs; pg_config may be missing or the client's alone.
DEBIAN_BINARIES = "/usr/lib/postgresql"
UNPRIVILEGED = ("postgres", "nobody")
# A cluster in memory makes a database in a tenth of the time; it takes far less than this.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 2 * 1024**3
# Nothing in it is to outlive a power cut.
SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=64MB",
    "max_connections=200",
)


def main(arguments: Sequence[str]) -> int:
    """The exit code of the tests; `arguments` go to pytest."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if url := os.environ.get(SERVER_VARIABLE):
        return run(url, arguments)
    binaries = find_binaries() or (install() and find_binaries())
    if not binaries:
        return skip(
            "there is no PostgreSQL server on this machine", "Install one: apt-get install postgresql"
        )
    user = unprivileged()
    if user is None:
        return skip("root may not run a PostgreSQL server", f"Make a user {' or '.join(UNPRIVILEGED)}")
    with cluster(Path(binaries), user) as url:
        return run(url, arguments)


def run(url: str, arguments: Sequence[str]) -> int:
    """All of them side by side, or those that the arguments name; the exit code."""
    chosen = () if any(map(is_place, arguments)) else (*SIDE_BY_SIDE, *PLACES)
    command = (sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *arguments, *chosen)
    return subprocess.run(command, env={**os.environ, VARIABLE: url}, check=False).returncode


def is_place(argument: str) -> bool:
    return Path(argument.partition("::")[0]).exists()


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl; of several versions the newest."""
    places = sorted(Path(DEBIAN_BINARIES).glob("*/bin"), key=lambda place: version_of(place.parent.name))
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
        places.append(Path(said.stdout.strip()))
    return next((place for place in reversed(places) if (place / "initdb").is_file()), None)


def version_of(name: str) -> int:
    return int(name) if name.isdigit() else 0


def install() -> bool:
    """Install Debian's package, when we may."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    quietly: dict[str, Any] = {
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        "stdout": subprocess.DEVNULL,
    }
    commands = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "postgresql"])
    return all(subprocess.run(command, check=False, **quietly).returncode == 0 for command in commands)


def unprivileged() -> pwd.struct_passwd | None:
    """Who runs the server: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    there = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((there[name] for name in UNPRIVILEGED if name in there), None)


def skip(what: str, cure: str) -> int:
    """Say loudly that nothing was tested; a failure where the tests are required."""
    line = "!" * 100
    print(f"{line}\nNOT TESTED ON POSTGRESQL: {what}.\n{cure}; or set {SERVER_VARIABLE}.\n{line}", flush=True)  # noqa: T201
    return 1 if os.environ.get(REQUIRED_VARIABLE) else 0


@contextmanager
def cluster(binaries: Path, user: pwd.struct_passwd) -> Iterator[str]:
    """A server of our own on a socket in a folder of our own; its address."""
    folder = Path(tempfile.mkdtemp(prefix="mailer-postgres-", dir=roomiest()))
    as_user: Mapping[str, Any] = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
    if os.geteuid() == 0:
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = {**as_user, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    folder.chmod(0o755)
    place = folder / "data"
    options = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"unix_socket_directories={folder}"))
    made: list[str | Path] = [
        binaries / "initdb",
        "-D",
        place,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    control: list[str | Path] = [binaries / "pg_ctl", "-D", place, "-s", "-w"]
    try:
        subprocess.run(made, **as_user)
        subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **as_user)
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "fast", "stop"], **as_user)
    finally:
        shutil.rmtree(folder)


def roomiest() -> Path | None:
    """Memory, where there is enough of it; else wherever temporary files go."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        return MEMORY
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
