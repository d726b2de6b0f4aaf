"""Starts canaille, a real identity provider, and signs people in at it over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from pulsecloud.processes import die_with_parent
from tests.product import free_port

SCRIPT = Path(__file__).with_name("canaille_server.py")
CLIENT = ("pulsecloud", "a client secret of canaille")
PASSWORD = "correct horse battery staple"
PEOPLE = {
    "ann": {"email": "ann@example.test", "password": PASSWORD, "full_name": "Ann Other"},
    "bob": {"email": "bob@elsewhere.test", "password": PASSWORD, "full_name": "Bob Else"},
}


@dataclass
class Canaille:
    port: int
    process: subprocess.Popen[str]

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    def put_groups(self, groups: Mapping[str, list[str]]) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"groups": groups}) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "done"

    def signs_in(self, address: str, name: str) -> str:
        """Somebody signs in at this authorisation address; the callback's path and query."""
        fields = {"login": name, "password": PASSWORD}
        with httpx.Client() as browser:
            answer = browser.get(address)
            for _ in range(12):
                while answer.is_redirect:
                    target = urljoin(str(answer.url), answer.headers["Location"])
                    if urlsplit(target).port != self.port:
                        found = urlsplit(target)
                        return f"{found.path}?{found.query}"
                    answer = browser.get(target)
                form = _Form()
                form.feed(answer.text)
                assert form.action is not None, answer.text[:3000]
                sent = {k: fields.get(k, v) for k, v in form.fields.items()}
                answer = browser.post(urljoin(str(answer.url), form.action), data=sent)
        raise AssertionError(f"no way out of {address}")


class _Form(HTMLParser):
    """The first form of a page that is sent by POST."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {k: v or "" for k, v in attrs}
        if tag == "form" and self.action is None and named.get("method", "").upper() == "POST":
            self.action = named.get("action", "")
        elif tag in ("input", "button") and self.action is not None and named.get("name"):
            self.fields.setdefault(named["name"], named.get("value", ""))


@contextmanager
def running(callbacks: list[str], groups: Mapping[str, list[str]]) -> Iterator[Canaille]:
    port = free_port()
    wanted: dict[str, Any] = {
        "client": {"id": CLIENT[0], "secret": CLIENT[1], "callbacks": callbacks},
        "people": PEOPLE,
        "groups": groups,
    }
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        path = Path(folder, "wanted.json")
        path.write_text(json.dumps(wanted), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(port), str(path)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=die_with_parent(),
        )
        try:
            assert process.stdout
            if process.stdout.readline().strip() != "ready":
                errors.seek(0)
                raise AssertionError(errors.read()[-3000:])
            yield Canaille(port, process)
        finally:
            process.terminate()
            process.wait(10)
