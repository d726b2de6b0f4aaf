"""Who is at a limit goes when nobody else is under way, one at a time, and waits for no longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tenants import request_limits, turns
from tests.factories import make_organisation, make_token
from tests.waiting import until

LONG = 30.0  # seconds that nobody waits here unless something is broken


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


class Request:
    """One under way in a thread of its own, until it is let go."""

    def __init__(self, pool: ThreadPoolExecutor, *, gives_way: float | None = None) -> None:
        self.came, self.went_on, self.end = threading.Event(), threading.Event(), threading.Event()
        self.future: Future[None] = pool.submit(self._live, gives_way)
        assert self.came.wait(LONG)

    def _live(self, gives_way: float | None) -> None:
        with turns.under_way():
            self.came.set()
            if gives_way is not None:
                turns.give_way(gives_way)
            self.went_on.set()
            self.end.wait(LONG)

    def over(self) -> None:
        self.end.set()
        self.future.result(LONG)


def test_waits_until_the_others_are_through(pool: ThreadPoolExecutor) -> None:
    first, second = Request(pool), Request(pool)
    polite = Request(pool, gives_way=LONG)
    first.over()
    assert not polite.went_on.wait(0.1)
    second.over()
    assert polite.went_on.wait(LONG)
    polite.over()


def test_goes_at_once_when_alone(pool: ThreadPoolExecutor) -> None:
    polite = Request(pool, gives_way=LONG)
    assert polite.went_on.wait(5)
    polite.over()


def test_they_go_one_at_a_time(pool: ThreadPoolExecutor) -> None:
    busy = Request(pool)
    waiting = [Request(pool, gives_way=LONG) for _ in range(turns.MOST)]
    busy.over()
    for left in range(turns.MOST, 0, -1):
        until(lambda: any(each.went_on.is_set() for each in waiting))
        time.sleep(0.05)
        gone = [each for each in waiting if each.went_on.is_set()]
        assert len(gone) == 1, f"{left} left"
        waiting.remove(gone[0])
        gone[0].over()


def test_waits_for_no_longer_than_it_must(pool: ThreadPoolExecutor) -> None:
    busy = Request(pool)
    begun = time.monotonic()
    polite = Request(pool, gives_way=0.2)
    assert polite.went_on.wait(LONG)
    assert 0.2 <= time.monotonic() - begun < 5
    polite.over()
    busy.over()


def test_most_threads_never_wait(pool: ThreadPoolExecutor) -> None:
    busy = Request(pool)
    waiting = [Request(pool, gives_way=LONG) for _ in range(turns.MOST)]
    until(lambda: turns._waiting == turns.MOST)
    one_more = Request(pool, gives_way=LONG)
    assert one_more.went_on.wait(5)
    assert not any(each.went_on.is_set() for each in waiting)
    one_more.over()
    busy.over()
    for each in waiting:
        each.end.set()


def test_who_sleeps_holds_nobody_up(pool: ThreadPoolExecutor) -> None:
    asleep = threading.Event()

    def sleep() -> None:
        with turns.under_way():
            asleep.set()
            turns.sleep(2.0)

    sleeping = pool.submit(sleep)
    assert asleep.wait(LONG)
    until(lambda: turns._waiting == 1)
    polite = Request(pool, gives_way=LONG)
    assert polite.went_on.wait(LONG)
    assert not sleeping.done()
    polite.over()
    sleeping.result(LONG)


def test_when_too_many_wait_nobody_sleeps(pool: ThreadPoolExecutor) -> None:
    busy = Request(pool)
    waiting = [Request(pool, gives_way=LONG) for _ in range(turns.MOST)]
    until(lambda: turns._waiting == turns.MOST)
    begun = time.monotonic()
    turns.sleep(20.0)
    assert time.monotonic() - begun < 10
    busy.over()
    for each in waiting:
        each.end.set()


def test_a_failing_request_is_over_too(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(ZeroDivisionError), turns.under_way():
        _ = 1 // 0
    test_goes_at_once_when_alone(pool)


@pytest.mark.django_db
def test_who_was_refused_lately_gives_way_and_nobody_else_does(
    client: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REQUESTS_PER_ORGANISATION = 3
    monkeypatch.setattr(request_limits, "DELAY", 0.0)
    noisy, quiet = make_organisation(), make_organisation()
    keys = {each: make_token(each) for each in (noisy, quiet)}

    def ask(who: Any) -> tuple[int, float]:
        begun = time.monotonic()
        answer = client.get(
            "/api/organisation", HTTP_HOST=who.instance_host, HTTP_X_API_TOKEN=keys[who]
        )
        return answer.status_code, time.monotonic() - begun

    while ask(noisy)[0] == 200:
        pass
    settings.REQUESTS_PER_ORGANISATION = 10_000
    until(lambda: ask(noisy)[0] == 200)  # refused no more, and remembered
    monkeypatch.setattr(turns, "give_way", lambda: time.sleep(1.0))
    assert ask(noisy)[1] >= 1.0
    assert ask(quiet)[1] < 1.0
    monkeypatch.setattr(request_limits, "AT_LIMIT", 0.0)
    assert ask(noisy)[1] < 1.0
