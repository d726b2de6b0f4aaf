"""`make coverage-table`: every behaviour and failure mode, and the tests that showed it.

Rnn is item nn of the relay protocol's test list, Fnn an entry of the failure modes, Hnn one of the
hazards of the hosted contract, and A, B, C with a number a requirement. Only tests that ran and
passed in the last whole `make test` count; skipped and xfailed ones are missing.
"""

from __future__ import annotations

import json
import sys

from tests.plugin_covers import FOLDER

WANTED = [
    *(f"R{n:02d}" for n in range(1, 91)),
    *(f"F{n:02d}" for n in range(1, 81)),
    *(f"H{n}" for n in range(1, 23)),
    *(f"{group}{n}" for group, most in (("A", 10), ("B", 7), ("C", 8)) for n in range(1, most + 1)),
]
SHOWN_TESTS = 2


def main() -> None:
    source = FOLDER / "last.json"
    if not source.exists():
        sys.exit("No test run to read from: run `make test` first.")
    covered: dict[str, list[str]] = json.loads(source.read_text(encoding="utf-8"))
    print("| id | shown by |\n|---|---|")
    for each in WANTED:
        tests = covered.get(each, [])
        some = ", ".join(tests[:SHOWN_TESTS])
        more = f" and {len(tests) - SHOWN_TESTS} more" if len(tests) > SHOWN_TESTS else ""
        print(f"| {each} | {some + more or 'missing'} |")
    shown = sum(each in covered for each in WANTED)
    print(f"\n{shown} of {len(WANTED)} shown by tests that ran and passed.")
    unknown = sorted(set(covered) - set(WANTED))
    if unknown:
        sys.exit(f"Claimed, but no such id: {', '.join(unknown)}")


if __name__ == "__main__":
    main()
