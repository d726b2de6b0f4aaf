"""An authenticator app: RFC 6238 with HMAC-SHA-1, six digits, 30 seconds; and what a person does."""

from __future__ import annotations

import base64
import hmac
import re
import struct
import time
from typing import Any

from tenants.models import User
from tests.accounts.browsing import Visitor


class App:
    """Holds one secret. A code works once, so later tries take the next step's (`ahead=1`)."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def code(self, ahead: int = 0) -> str:
        step = int(time.time()) // 30 + ahead
        digest = hmac.digest(base64.b32decode(self.secret), struct.pack(">Q", step), "sha1")
        start = digest[-1] & 15
        value = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
        return f"{value % 10**6:06}"


def turn_on(user: User) -> App:
    """As a person does it: signed in, on the page, with the app's first code."""
    visitor = Visitor().sign_in(user)
    page = visitor.get("/accounts/2fa/totp/activate/")
    found = re.search(r'aria-label="Key">([A-Z2-7]{32})<', page.content.decode())
    assert found, page.content.decode()
    app = App(found[1])
    answer = visitor.post("/accounts/2fa/totp/activate/", {"code": app.code()})
    assert answer.status_code == 302, answer.content.decode()
    return app


def recovery_codes(visitor: Visitor) -> list[str]:
    page = visitor.get("/accounts/2fa/recovery-codes/").content.decode()
    return re.findall(r'<li class="mono">(\d{8})</li>', page)


def give(visitor: Visitor, code: str) -> Any:
    return visitor.post("/accounts/2fa/authenticate/", {"code": code})
