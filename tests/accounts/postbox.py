"""A real SMTP server for tests, which refuses what it is told to refuse."""

from __future__ import annotations

import email
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from typing import Any

from aiosmtpd.controller import Controller

from tests.product import free_port


class Postbox:
    """`refusals` are answered to DATA first, one each; then mail is taken. `at_rcpt` and `at_data`
    are answered every time."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[tuple[list[str], Any]] = []
        self.refusals: list[str] = []
        self.at_rcpt = self.at_data = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, to: str, _: Any) -> str:
        if self.at_rcpt:
            return self.at_rcpt
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refusals:
            return self.refusals.pop(0)
        if self.at_data:
            return self.at_data
        message = email.message_from_bytes(envelope.content, policy=policy.default)
        self.received.append((envelope.rcpt_tos, message))
        return "250 OK"


@contextmanager
def open_postbox() -> Iterator[Postbox]:
    """Listening at `url`, in the form of EMAIL_URL."""
    with postbox_at(free_port()) as box:
        yield box


@contextmanager
def postbox_at(port: int) -> Iterator[Postbox]:
    """The same where somebody has been told to look for it."""
    box = Postbox()
    box.url = f"smtp://127.0.0.1:{port}?tls=off"
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
