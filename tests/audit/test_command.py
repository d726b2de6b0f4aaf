"""manage.py audit, as an operator runs it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from audit import keys
from audit.models import Batch, Event
from tests import databases
from tests.audit.tampering import events_of, forge, record, sealed
from tests.factories import make_organisation

ROOT = Path(__file__).resolve().parents[2]


def run(database: str, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    environment = databases.environment(database) | {
        "PULSECLOUD_ENCRYPTION_KEY": key or settings.ENCRYPTION_KEY,
        "SECRET_KEY": settings.SECRET_KEY,
    }
    return subprocess.run(
        [sys.executable, "manage.py", "audit", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_seal_head_verify(scratch: str) -> None:
    assert run(scratch, "head").returncode == 2
    record(4)
    done = run(scratch, "seal")
    assert (done.returncode, "4 events sealed" in done.stdout) == (0, True), done.stderr
    head = run(scratch, "head").stdout.strip()
    assert head.startswith("1:")
    done = run(scratch, "verify", "--head", head)
    assert (done.returncode, done.stdout) == (0, f"intact: 4 events in 1 seals\nhead {head}\n")
    # The log of sealing has the same head, and no filter has taken it out.
    assert json.loads(run(scratch, "head", "--json").stdout)["head"] == head
    record()
    assert Batch.objects.count() == 1
    logged = run(scratch, "seal").stderr
    assert run(scratch, "head").stdout.strip() in logged


def test_a_changed_trail_ends_with_1(scratch: str) -> None:
    first, *_ = sealed()
    event = events_of(first)[0]
    forge(scratch, f"UPDATE audit_event SET reason = 'x' WHERE id = {event}")
    done = run(scratch, "verify")
    assert done.returncode == 1
    assert f"event_changed: Event {event} was changed." in done.stdout
    assert "CHANGED (1 findings)" in done.stdout
    report = json.loads(run(scratch, "verify", "--json").stdout)
    assert report["intact"] is False
    assert report["findings"][0] == {
        "code": "event_changed", "message": f"Event {event} was changed.", "batch": 1,
        "event": event,
    }  # fmt: skip


def test_another_key(scratch: str) -> None:
    sealed()
    other = "b3RoZXIga2V5IG90aGVyIGtleSBvdGhlciBrZXkgMTI="
    former = keys.own().key_id
    record()
    refused = run(scratch, "seal", key=other)
    assert (refused.returncode, former in refused.stderr) == (1, True)
    assert run(scratch, "verify", key=other).returncode == 1
    assert run(scratch, "verify", "--trust", former, key=other).returncode == 0
    assert run(scratch, "trust", "0" * 32, key=other).returncode == 1
    done = run(scratch, "trust", former, "--reason", "replaced", key=other)
    assert done.returncode == 0, done.stderr
    assert Event.objects.get(action="audit_key_trusted").reason == "replaced"
    assert run(scratch, "seal", key=other).returncode == 0
    assert run(scratch, "verify", key=other).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [("verify", "--head", "abc"), ("verify", "--head", "x:" + "0" * 64), ("trust",), ("nothing",)],
    ids=["short head", "no number", "no key", "no such action"],
)
def test_mistakes_are_explained(scratch: str, arguments: tuple[str, ...]) -> None:
    done = run(scratch, *arguments)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_a_database_that_is_away_ends_with_2(scratch: str) -> None:
    done = run("no_such_database", "verify")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


def test_export(scratch: str) -> None:
    one, other = make_organisation(), make_organisation()
    record(2, organisation=one.pk, reason='=HYPERLINK("http://x")')
    record(1, organisation=other.pk, reason="theirs")
    events = json.loads(run(scratch, "export", "--organisation", one.label).stdout)["events"]
    assert {event["organisation"] for event in events} == {str(one.pk)}
    assert [event["event"] for event in events][:3] == ["audit_exported", "tested", "tested"]
    everything = json.loads(run(scratch, "export").stdout)["events"]
    assert len(everything) == Event.objects.count()
    text = run(scratch, "export", "--format", "csv", "--organisation", one.label).stdout
    rows = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))
    assert [row["reason"] for row in rows if row["event"] == "tested"] == [
        '\'=HYPERLINK("http://x")'
    ] * 2
    assert run(scratch, "export", "--organisation", "nobody").returncode == 1
