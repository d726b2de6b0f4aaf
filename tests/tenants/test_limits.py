"""Limits are shared by all processes, and nobody talks themselves another address."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import RequestFactory
from django.utils import timezone

from tenants import limits
from tenants.models import LimitWindow
from tests.factories import unique
from tests.waiting import until


@pytest.mark.django_db
def test_works() -> None:
    subject = unique("subject")
    answers = [limits.allow("signup", subject, limit=3, seconds=3600) for _ in range(5)]
    assert answers == [True, True, True, False, False]


@pytest.mark.django_db
def test_subjects_and_scopes_are_counted_apart() -> None:
    subject = unique("subject")
    assert limits.allow("signup", subject, limit=1, seconds=3600)
    assert limits.allow("signup", unique("subject"), limit=1, seconds=3600)
    assert limits.allow("sign-in", subject, limit=1, seconds=3600)
    assert not limits.allow("signup", subject.upper() + " ", limit=1, seconds=3600)


@pytest.mark.django_db
def test_nobody_reads_subjects_in_the_table() -> None:
    subject = f"{unique('person')}@example.test"
    limits.allow("signup", subject, limit=1, seconds=3600)
    assert subject not in str(list(LimitWindow.objects.values()))


@pytest.mark.django_db
def test_one_network_of_ipv6_is_one_subject() -> None:
    assert limits.allow("signup", "2001:db8:1:2::1", limit=1, seconds=3600)
    assert not limits.allow("signup", "2001:db8:1:2:ffff::9", limit=1, seconds=3600)
    assert limits.allow("signup", "2001:db8:1:3::1", limit=1, seconds=3600)
    assert limits.allow("signup", "192.0.2.1", limit=1, seconds=3600)
    assert not limits.allow("signup", "::ffff:192.0.2.1", limit=1, seconds=3600)


@pytest.mark.django_db
def test_the_previous_window_counts_with_its_share() -> None:
    """A burst at the end of one window and another at the start of the next are one burst."""
    subject = unique("subject")
    seconds = 10_000
    for _ in range(4):
        limits.allow("signup", subject, limit=100, seconds=seconds)
    row = LimitWindow.objects.latest("id")
    row.window -= timedelta(seconds=seconds)
    row.count = 100
    row.save()
    gone = (time.time() % seconds) / seconds
    weight = 100 * (1 - gone)
    room = int(100 - weight)
    got = sum(limits.allow("signup", subject, limit=100, seconds=seconds) for _ in range(100))
    assert abs(got - room) <= 1
    row.window -= timedelta(seconds=seconds)
    row.save()
    assert limits.allow("signup", subject, limit=100, seconds=seconds)


@pytest.mark.django_db
def test_refused_calls_do_not_prolong_the_wait() -> None:
    subject = unique("subject")
    assert limits.allow("x", subject, limit=1, seconds=1)
    until(lambda: limits.allow("x", subject, limit=1, seconds=1), 4, every=0.05)


def test_many_at_once_get_exactly_the_limit(live_db: None) -> None:
    subject, start = unique("subject"), threading.Barrier(12, timeout=30)

    def job() -> int:
        try:
            start.wait()
            return sum(limits.allow("x", subject, limit=20, seconds=86400) for _ in range(5))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        total = sum(f.result(timeout=60) for f in [pool.submit(job) for _ in range(12)])
    assert total == 20


@pytest.mark.django_db
def test_old_windows_are_forgotten() -> None:
    LimitWindow.objects.create(key="old", window=timezone.now() - timedelta(days=3), count=1)
    limits.allow("x", unique("subject"), limit=1, seconds=60)
    assert limits.forget() == 1
    assert not LimitWindow.objects.filter(key="old").exists()


@pytest.mark.covers("F71")
@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("192.0.2.1", None, [], "192.0.2.1"),
        # F71: without a proxy of ours, what the caller says about itself is nothing.
        ("192.0.2.1", "198.51.100.9", [], "192.0.2.1"),
        ("127.0.0.1", "198.51.100.9", [], "127.0.0.1"),
        ("10.0.0.1", "198.51.100.9", ["10.0.0.0/8"], "198.51.100.9"),
        # The right-most that is not ours: what stands left of it the caller may have written.
        ("10.0.0.1", "203.0.113.5, 198.51.100.9", ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", "198.51.100.9, 10.0.0.2", ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", ["10.0.0.0/8"], "10.0.0.3"),
        ("10.0.0.1", "198.51.100.9, nonsense", ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", "", ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", " 198.51.100.9 ", ["10.0.0.1"], "198.51.100.9"),
        ("::1", "2001:db8::5", ["::1"], "2001:db8::5"),
        ("::ffff:10.0.0.1", "198.51.100.9", ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", "::ffff:198.51.100.9", ["10.0.0.0/8"], "198.51.100.9"),
        ("", "198.51.100.9", ["10.0.0.0/8"], ""),
    ],
)
def test_the_address_of_a_request(
    rf: RequestFactory,
    settings: Any,
    peer: str,
    forwarded: str | None,
    proxies: list[str],
    address: str,
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = rf.get("/", REMOTE_ADDR=peer)
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    assert limits.address_of(request) == address
