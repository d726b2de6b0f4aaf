"""The load test itself, short: it starts, measures, says so, and ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.product import ROOT


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_organisations_for_15_seconds() -> None:
    command = [sys.executable, "-m", "bench", "load", "--organisations", "10", "--seconds", "15"]
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=560, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["passed"] is True
    assert told["foreign_answers"] == 0
    assert set(told["kinds"]) == {"api", "relay", "sign_up", "life_cycle"}
