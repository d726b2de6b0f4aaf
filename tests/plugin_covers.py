"""Which behaviours (R..) and failure modes (F..) were shown: `@pytest.mark.covers("R17", "F10")`.

An id counts only when a test that claims it ran and passed; skipped and xfailed count as missing.
`make coverage-table` reads what is written here.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / ".coverage-ids"
_KEY = "covers"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--covers-to", metavar="FILE", help="Write the ids that passed to FILE (JSON)."
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    ids = [str(i) for marker in item.iter_markers("covers") for i in marker.args]
    if ids and report.when == "call":
        report.user_properties.append((_KEY, ids))
    return report


class Collector:
    """Gathers reports in the process that writes the closing line."""

    def __init__(self) -> None:
        self.passed: dict[str, set[str]] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        claims = [v for key, v in report.user_properties if key == _KEY and isinstance(v, list)]
        ids = [str(each) for claim in claims for each in claim]
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            for each in ids:
                self.passed.setdefault(each, set()).add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        target = session.config.getoption("--covers-to")
        if target:
            shown = {
                each: sorted(tests - self.failed)
                for each, tests in sorted(self.passed.items())
                if tests - self.failed
            }
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(), "covers-collector")
