"""Every figure with its target beside it: `make bench`, or some by name: `python -m bench render freeze`.

Each runs in a process of its own, one after the other, so that memory and warmth are its own.
"""

import subprocess
import sys

BENCHES = ("render", "people", "freeze", "handover", "workers", "webhook", "tracking", "segments")


def main() -> int:
    """Run the named benches, or all; the number that failed."""
    wanted = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in wanted if name not in BENCHES]
    if unknown:
        print(f"no bench is called '{unknown[0]}'; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    failed = 0
    for name in wanted:
        print(f"-- {name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
