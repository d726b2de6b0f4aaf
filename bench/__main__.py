"""Measures the numbers that the documentation claims, one after the other, on an idle machine.

    python -m bench [relay schemas …] [--json]

Each is a module of its own with more options: `python -m bench.relay --help`. Exit code 1 when one
of them missed what it promises.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

MEASURES = (
    "schemas",
    "authoriser",
    "relay",
    "reachable",
    "runtime_memory",
    "tenant_get",
    "noisy_neighbour",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("measures", nargs="*", metavar="|".join(MEASURES), help="default: all")
    parser.add_argument("--json", action="store_true", help="one JSON document each")
    options = parser.parse_args()
    if unknown := set(options.measures) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    missed = False
    for name in options.measures or MEASURES:
        if not options.json:
            print(f"\n{name}\n{'=' * len(name)}", flush=True)
        command = [sys.executable, "-m", f"bench.{name}", *(["--json"] * options.json)]
        missed |= subprocess.run(command, check=False).returncode != 0
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
