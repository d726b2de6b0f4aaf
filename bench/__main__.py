"""Measures the numbers that the documentation claims, one after the other, on an idle machine.

    python -m bench [relay schemas …] [--json]
    python -m bench load [--organisations 100] [--seconds 120] [--json]

Each is a module of its own with more options: `python -m bench.relay --help`; options that follow a
single name go to it. Exit code 1 when one of them missed what it promises. The load test takes minutes
and runs only when it is named.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

MEASURES = (
    "schemas",
    "migrate_orgs",
    "authoriser",
    "relay",
    "reachable",
    "runtime_memory",
    "tenant_get",
    "noisy_neighbour",
    "staff_lists",
)
NAMED_ONLY = ("load",)


def main() -> None:
    there = (*MEASURES, *NAMED_ONLY)
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "measures", nargs="*", metavar="|".join(there), help="default: most of them"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document each")
    first = next((n for n, text in enumerate(sys.argv) if n and text.startswith("-")), None)
    options, theirs = parser.parse_args(sys.argv[1:first]), sys.argv[first:] if first else []
    if unknown := set(options.measures) - set(there):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    if len(options.measures) != 1:
        options, theirs = parser.parse_args(), []
    as_json = options.json or "--json" in theirs
    missed = False
    for name in options.measures or MEASURES:
        if not as_json:
            print(f"\n{name}\n{'=' * len(name)}", flush=True)
        command = [sys.executable, "-m", f"bench.{name}", *(theirs or ["--json"] * as_json)]
        missed |= subprocess.run(command, check=False).returncode != 0
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
