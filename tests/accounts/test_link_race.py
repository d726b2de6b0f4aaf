"""A single-use link is used once, however many try at the same time."""

from __future__ import annotations

import threading
from datetime import timedelta

from django.db import connection

from tenants import links
from tenants.models import LinkPurpose
from tests.factories import make_user


def test_of_many_who_use_it_at_once_one_gets_in(live_db: None) -> None:
    token = links.mint(purpose=LinkPurpose.SIGN_IN, user=make_user(), life=timedelta(minutes=1))
    won: list[str] = []
    barrier = threading.Barrier(6)

    def race() -> None:
        try:
            barrier.wait(10)
            links.consume(token, LinkPurpose.SIGN_IN)
            won.append("yes")
        except links.LinkRefused:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert won == ["yes"]
