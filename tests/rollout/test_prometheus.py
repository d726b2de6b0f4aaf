"""A real Prometheus is asked what fired; one that cannot tell leaves it to staff."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.utils import timezone

from tenants.models import Rollout
from tenants.rollout import conditions, prometheus
from tenants.rollout.conditions import Condition
from tests.product import free_port
from tests.rollout import standing
from tests.waiting import until

HOURS = 48
OPS = Path(__file__).parents[2] / "ops" / "prometheus"
OURS = {name: (OPS / name).read_text() for name in ("recording.yml", "alerts.yml")}
THEIRS = """
groups:
  - name: theirs
    rules:
      - alert: DiskFull
        expr: node_filesystem_free_bytes < 1
"""


def watched() -> Condition:
    return {each.name: each for each in conditions.evaluate(conditions.ORDER[2])}["watched"]


@pytest.fixture
def _enabled_long_ago(db: None) -> None:
    standing.stage()
    Rollout.objects.update(hosted_since=timezone.now() - timedelta(days=3))


def history(folder: Path, *, hours: int, firing: dict[str, int]) -> None:
    """A database in which hosted mode was on for `hours`, and alerts fired so many hours ago."""
    now = int(time.time())
    lines = ["# TYPE pulse_hosted_mode gauge"]
    lines += [f"pulse_hosted_mode 1 {at}" for at in range(now - hours * 3600, now, 60)]
    lines.append("# TYPE ALERTS gauge")
    for name, ago in firing.items():
        begun = now - ago * 3600
        lines += [
            f'ALERTS{{alertname="{name}",alertstate="firing"}} 1 {at}'
            for at in range(begun, begun + 600, 60)
        ]
    text = folder / "history.txt"
    text.write_text("\n".join([*lines, "# EOF\n"]))
    made = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, folder / "data"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr


@contextmanager
def running(folder: Path, *, ours: Mapping[str, str] = OURS) -> Iterator[str]:
    (folder / "rules").mkdir()
    for name, text in {**ours, "theirs.yml": THEIRS}.items():
        (folder / "rules" / name).write_text(text)
    (folder / "prometheus.yml").write_text("rule_files: [rules/*.yml]\n")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=90d",
            f"--web.listen-address={address}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ready() -> bool:
        try:
            return httpx.get(f"http://{address}/-/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(ready, 30)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.promtool
@pytest.mark.usefixtures("_enabled_long_ago")
class TestReal:
    def test_quiet_hours_count(self, tmp_path: Path, settings: Any) -> None:
        """What fired before the 48 hours, and what is not ours, does not."""
        history(tmp_path, hours=60, firing={"PulseNoInstanceConnected": 55, "DiskFull": 3})
        with running(tmp_path) as address:
            settings.PROMETHEUS_URL = address
            found = watched()
        assert found.met, found.says
        assert found.says == "Prometheus watched with all 45 rules, and no alert fired."
        assert found.evidence is not None and found.age is not None
        assert found.age >= timedelta(hours=HOURS)

    def test_an_alert_keeps_it_shut_whatever_staff_say(self, tmp_path: Path, settings: Any) -> None:
        history(tmp_path, hours=60, firing={"PulseNoInstanceConnected": 40})
        standing.vouch("watched")
        with running(tmp_path) as address:
            settings.PROMETHEUS_URL = address
            found = watched()
        assert not found.met and not found.attestable
        assert found.says == "Fired in that time: PulseNoInstanceConnected."

    def test_silence_of_who_did_not_listen_says_nothing(
        self, tmp_path: Path, settings: Any
    ) -> None:
        history(tmp_path, hours=12, firing={})
        with running(tmp_path) as address:
            settings.PROMETHEUS_URL = address
            assert watched().says == "Prometheus watched 25% of that time only."

    def test_taking_the_rule_away_does_not_take_back_that_it_fired(
        self, tmp_path: Path, settings: Any
    ) -> None:
        history(tmp_path, hours=60, firing={"PulseWebDown": 40})
        with running(tmp_path) as address:
            settings.PROMETHEUS_URL = address
            assert watched().says == "Fired in that time: PulseWebDown."

    def test_a_rule_that_cannot_be_evaluated_is_not_quiet(
        self, tmp_path: Path, settings: Any
    ) -> None:
        """Its expression fails whenever it is put, so it can never fire."""
        history(tmp_path, hours=60, firing={})
        broken = """
groups:
  - name: ours
    interval: 1s
    rules:
      - alert: PulseOfTheHouse
        expr: label_replace(vector(1), "pulse", "$1", "x", "(")
"""
        with running(tmp_path, ours={**OURS, "more.yml": broken}) as address:
            settings.PROMETHEUS_URL = address
            until(lambda: "cannot evaluate PulseOfTheHouse" in watched().says, 30)
            assert not watched().met

    @pytest.mark.parametrize(
        ("loaded", "says"),
        [
            ({}, "lacks 45 of the 45 rules of ops/prometheus: PulseActiveOrganisationsDrop, "),
            ({"alerts.yml": OURS["alerts.yml"]}, "lacks 16 of the 45 rules"),
            (
                {**OURS, "alerts.yml": OURS["alerts.yml"].replace("PulseWebDown", "PulseWeb")},
                "lacks 1 of the 45 rules of ops/prometheus: PulseWebDown.",
            ),
        ],
        ids=["none", "without the recorded", "all but one"],
    )
    def test_what_is_not_loaded_cannot_fire(
        self, tmp_path: Path, settings: Any, loaded: dict[str, str], says: str
    ) -> None:
        history(tmp_path, hours=60, firing={})
        with running(tmp_path, ours=loaded) as address:
            settings.PROMETHEUS_URL = address
            found = watched()
            assert not found.met and not found.attestable
            assert says in found.says

    def test_nor_what_the_installation_does_not_have(self, tmp_path: Path, settings: Any) -> None:
        history(tmp_path, hours=60, firing={})
        with running(tmp_path) as address:
            settings.PROMETHEUS_URL, settings.BASE_DIR = address, tmp_path
            assert watched().says == "recording.yml and alerts.yml of ops/prometheus are not there."


class _Answers(BaseHTTPRequestHandler):
    """Somebody else's server at that address."""

    status, body = 200, b""
    asked: list[str | None] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.headers.get("Authorization"))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    _Answers.status, _Answers.body, _Answers.asked = status, body, []
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"status": "success"}'),
        (200, b'{"status": "success", "data": []}'),
        (401, b"no"),
        (503, b'{"status": "error", "error": "starting"}'),
    ],
)
@pytest.mark.usefixtures("_enabled_long_ago")
def test_another_answer_leaves_it_to_staff(status: int, body: bytes, settings: Any) -> None:
    with answering(status, body) as settings.PROMETHEUS_URL:
        found = watched()
        assert not found.met and found.attestable
        assert "could not be asked" in found.says
        standing.vouch("watched")
        assert watched().met


@pytest.mark.usefixtures("_enabled_long_ago")
def test_nobody_there_leaves_it_to_staff(settings: Any) -> None:
    settings.PROMETHEUS_URL = f"http://127.0.0.1:{free_port()}"
    assert "ConnectError" in watched().says


def test_the_token_goes_along_and_into_no_message(settings: Any) -> None:
    settings.PROMETHEUS_TOKEN = "a-secret-token"
    body = json.dumps({"status": "error", "error": "bad"}).encode()
    with (
        answering(400, body) as settings.PROMETHEUS_URL,
        pytest.raises(prometheus.Unreachable) as raised,
    ):
        prometheus.watch(timedelta(hours=48))
    assert _Answers.asked == ["Bearer a-secret-token"]
    assert "a-secret-token" not in str(raised.value)
