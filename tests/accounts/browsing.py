"""Django's test client on several hosts, with their sessions told apart as browsers do."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client

from tenants.models import User

BASE = "localhost"


class Visitor:
    """One person's browser: a client per host."""

    def __init__(self, *, careful: bool = False) -> None:
        self.careful = careful
        self.clients: dict[str, Client] = {}

    def at(self, host: str) -> Client:
        if host not in self.clients:
            self.clients[host] = Client(enforce_csrf_checks=self.careful)
        return self.clients[host]

    def get(self, path: str, host: str = BASE, **rest: Any) -> Any:
        return self.at(host).get(path, HTTP_HOST=host, **rest)

    def post(self, path: str, data: Any = None, host: str = BASE, **rest: Any) -> Any:
        return self.at(host).post(path, data or {}, HTTP_HOST=host, **rest)

    def is_signed_in(self, host: str = BASE) -> bool:
        return "_auth_user_id" in self.at(host).session

    def sign_in(self, user: User, host: str = BASE) -> Visitor:
        """A session on that host, as if signed in there."""
        self.at(host).force_login(user)
        session = self.at(host).session
        session["_host"] = host
        session.save()
        return self


def field(page: Any, name: str) -> str:
    """The value of a hidden field of a page."""
    found = re.search(rf'name="{name}" value="([^"]+)"', page.content.decode())
    assert found, page.content.decode()
    return found[1]
