"""Clients that ask and then read nothing of the answer."""

from __future__ import annotations

import socket
import time

import pytest

from pulsecloud.gunicorn_worker import bound_sending


def test_sending_to_who_reads_nothing_fails_after_a_while() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bound_sending(ours, seconds=1)
        began = time.monotonic()
        with pytest.raises(OSError):
            ours.sendall(bytes(16 * 1024 * 1024))
        assert 0.9 < time.monotonic() - began < 10


def test_a_closed_connection_is_left_alone() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    bound_sending(ours, seconds=1)
