"""What cannot run on this machine is named at the end as "not run here", never shown as passed."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest

CHROMIUM = "/usr/bin/chromium"
PROGRAMS = f"{os.environ.get('PATH', '')}:/usr/sbin"  # Debian keeps servers there


def missing(item: pytest.Item) -> str | None:
    """Why this test cannot run here, or None."""
    if item.get_closest_marker("chromium") and not os.path.exists(CHROMIUM):
        return f"Chromium is not installed ({CHROMIUM})"
    if item.get_closest_marker("promtool") and not shutil.which("promtool"):
        return "promtool is not installed (Debian's package prometheus)"
    if item.get_closest_marker("amtool") and not shutil.which("amtool"):
        return "amtool is not installed (Debian's package prometheus-alertmanager)"
    if item.get_closest_marker("pgbouncer") and not shutil.which("pgbouncer", path=PROGRAMS):
        return "pgbouncer is not installed (Debian's package pgbouncer)"
    if item.get_closest_marker("root") and os.geteuid() != 0:
        return "needs root, to act as other users"
    if item.get_closest_marker("real_client"):
        return "needs the published closed client"
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="Also run tests with the real deadlines.")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("long") and not item.config.getoption("--long"):
        pytest.skip("not run here: real deadlines (make test-long)")
    reason = missing(item)
    if reason:
        pytest.skip(f"not run here: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text.removeprefix("Skipped: ").removeprefix("not run here: ")] += 1
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"not run here: {count} × {reason}", yellow=True)
