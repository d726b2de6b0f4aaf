"""Permits are leased in batches, and never more are spent than the limit has."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from tenants import budgets, limits
from tenants.models import LimitWindow
from tests.factories import unique
from tests.waiting import until


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    budgets.forget_all()
    yield
    budgets.forget_all()


def spend(subject: str, times: int, *, limit: int, seconds: int = 10_000) -> int:
    """How many of so many requests were allowed."""
    return sum(
        budgets.spend("test", subject, limit=limit, seconds=seconds).allowed for _ in range(times)
    )


@pytest.mark.django_db
@pytest.mark.parametrize("limit", [1, 7, 99, 100, 101, 1000])
def test_exactly_the_limit_is_allowed(limit: int) -> None:
    assert spend(unique("subject"), limit + 20, limit=limit) == limit


@pytest.mark.django_db
def test_most_requests_ask_nobody() -> None:
    subject = unique("subject")
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert spend(subject, 1900, limit=2000) == 1900
    takes = [q for q in asked.captured_queries if "tenants_limitwindow" in q["sql"]]
    assert len(takes) < 1900 / 50
    # Neither does a flood that is refused.
    assert spend(subject, 100, limit=2000) == 100
    with CaptureQueriesContext(connection) as asked:
        assert spend(subject, 500, limit=2000) == 0
    assert len(asked.captured_queries) < 20


@pytest.mark.django_db
def test_what_is_left_is_told() -> None:
    subject = unique("subject")
    verdicts = [budgets.spend("test", subject, limit=50, seconds=10_000) for _ in range(51)]
    assert [v.remaining for v in verdicts] == [*range(49, -1, -1), 0]
    assert [v.allowed for v in verdicts][-2:] == [True, False]
    assert all(1 <= v.reset <= 10_000 for v in verdicts)


@pytest.mark.django_db
def test_a_batch_dies_with_its_window() -> None:
    """Else permits of the last window would be spent on top of the new one's."""
    subject = unique("subject")
    assert budgets.spend("test", subject, limit=1000, seconds=10_000).allowed
    counter = budgets._counters["test", subject]
    assert counter.permits == 9
    counter.ends = time.monotonic()
    budgets.spend("test", subject, limit=1000, seconds=10_000)
    row = LimitWindow.objects.get(key=limits.key_of("test", subject))
    assert row.count == 20  # ten lost, none spent twice


@pytest.mark.django_db
def test_the_last_window_counts_with_its_share() -> None:
    subject, seconds = unique("subject"), 10_000
    spend(subject, 100, limit=100, seconds=seconds)
    row = LimitWindow.objects.get(key=limits.key_of("test", subject))
    row.window -= timedelta(seconds=seconds)
    row.save()
    budgets.forget_all()
    room = int(100 - 100 * (1 - (time.time() % seconds) / seconds))
    assert abs(spend(subject, 200, limit=100, seconds=seconds) - room) <= 1


@pytest.mark.django_db
def test_who_was_refused_is_let_in_again() -> None:
    subject = unique("subject")
    assert spend(subject, 5, limit=2, seconds=1) >= 2
    until(lambda: spend(subject, 1, limit=2, seconds=1), 4, every=0.05)


@pytest.mark.django_db
def test_another_limit_is_asked_anew() -> None:
    subject = unique("subject")
    assert spend(subject, 5, limit=3) == 3
    assert spend(subject, 5, limit=6) == 3


@pytest.mark.django_db
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "MOST", 50)
    for number in range(120):
        assert spend(f"{number}", 1, limit=1000)
    assert len(budgets._counters) <= 50


@pytest.mark.django_db
def test_the_database_waits_for_no_disk_and_only_here() -> None:
    """The setting must not outlive the statement, nor touch a transaction of somebody else."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        before = cursor.fetchone()
        spend(unique("subject"), 1, limit=10)  # inside the test's transaction
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == before


@pytest.mark.covers("C7")
def test_processes_together_admit_no_more_than_the_limit(live_db: None) -> None:
    """Each thread here has memory of its own, as a process has."""
    subject, start = unique("subject"), threading.Barrier(8, timeout=30)

    def process() -> int:
        try:
            own: dict[tuple[str, str], Any] = {}
            start.wait()
            allowed = 0
            for _ in range(150):
                counter = own.setdefault(("test", subject), budgets._Counter(400))
                with counter.lock:
                    if counter.permits == 0 and time.monotonic() >= counter.closed_until:
                        budgets._lease(counter, limits.key_of("test", subject), 86_400)
                    if counter.permits:
                        counter.permits -= 1
                        allowed += 1
            return allowed
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        total = sum(f.result(timeout=60) for f in [pool.submit(process) for _ in range(8)])
    assert 400 * (1 - 8 / 20) < total <= 400


def test_threads_of_one_process_share_its_batch(live_db: None) -> None:
    subject, start = unique("subject"), threading.Barrier(8, timeout=30)

    def job() -> int:
        try:
            start.wait()
            return spend(subject, 100, limit=300, seconds=86_400)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(f.result(timeout=60) for f in [pool.submit(job) for _ in range(8)]) == 300
