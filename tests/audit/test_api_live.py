"""The audit API on committed rows: a trail that was tampered with, a database that is busy."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from audit import sealing
from rbac import audit_query
from tests import databases
from tests.audit.asking import Asking, write
from tests.audit.tampering import forge
from tests.factories import make_organisation


def test_a_changed_event_is_told(scratch: str) -> None:
    asking = Asking(make_organisation())
    changed, other = write(asking.organisation), write(asking.organisation)
    sealing.seal()
    forge(scratch, f"UPDATE audit_event SET reason = 'x' WHERE id = {changed.pk}")
    body = asking.get(f"/{changed.uuid}/verify").json()
    assert (body["available"], body["verified"]) == (True, False)
    assert "was changed" in body["message"]
    assert asking.get(f"/{other.uuid}/verify").json()["verified"] is True


class TestBusy:
    """The table is locked: callers are told to come back instead of waiting with a thread."""

    @pytest.fixture
    def locked(self, scratch: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
        monkeypatch.setattr(audit_query, "TIMEOUT_MS", 150)
        asking = Asking(make_organisation())
        with psycopg.connect(databases.url(scratch)) as other:
            other.execute("LOCK TABLE audit_sealedevent, audit_event IN ACCESS EXCLUSIVE MODE")
            yield asking
            other.rollback()

    @pytest.mark.parametrize("path", ["", "/summary", "/export"])
    def test_503_with_retry_after(self, locked: Asking, path: str) -> None:
        answer = locked.get(path)
        assert (answer.status_code, answer["Retry-After"]) == (503, "2")
        assert answer.json()["error"] == "audit_store_busy"
