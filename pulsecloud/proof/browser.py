"""A person's browser, as far as the proof needs one: cookies per host, CSRF, forms.

It dials the address that `web` is bound to and names the wanted host in the Host header, because
Python does not resolve `*.localhost` and a proof must not depend on public DNS.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings


class UnexpectedAnswer(Exception):
    """The server answered something else than the proof expects; the text says what."""


class _Forms(HTMLParser):
    """Collects each form of a page: its action and its named fields."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "form":
            self.forms.append((named.get("action") or "", {}))
        elif tag == "input" and self.forms and named.get("name"):
            self.forms[-1][1][named["name"] or ""] = named.get("value") or ""


def dialled(address: tuple[str, int]) -> str:
    """The loopback origin of a bound address; a wildcard address is dialled on loopback."""
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Browser:
    """One person's cookies on the base domain and on organisations' hosts."""

    def __init__(self, timeout: float = 10.0) -> None:
        self.origin = dialled(settings.WEB_ADDR)
        public = urlsplit(settings.PUBLIC_URL)
        self.scheme = public.scheme or "http"
        self.base_host = public.netloc
        # Web ends a connection that is idle for 5 s; one that is used at that moment would break.
        self._client = httpx.Client(
            timeout=timeout, follow_redirects=False, limits=httpx.Limits(keepalive_expiry=2.0)
        )
        self._cookies: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        self._client.close()

    def organisation_host(self, label: str) -> str:
        return f"{label}.{self.base_host}"

    def request(
        self,
        method: str,
        path: str,
        *,
        host: str | None = None,
        data: dict[str, str] | None = None,
        json: Any = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request; cookies of that host go along and come back, redirects are not followed."""
        host = host or self.base_host
        jar = self._cookies.setdefault(host, {})
        sent = {"Host": host, "Origin": f"{self.scheme}://{host}"}
        if self.scheme == "https":
            # The proof speaks to `web` behind its proxy, as the proxy does.
            sent |= {"X-Forwarded-Proto": "https", "Referer": f"https://{host}/"}
        if jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        csrf = next((v for k, v in jar.items() if k.endswith("csrftoken")), None)
        if csrf and method not in ("GET", "HEAD"):
            sent["X-CSRFToken"] = csrf
        answer = self._client.request(
            method, self.origin + path, data=data, json=json, headers=sent | (headers or {})
        )
        for cookie in answer.cookies.jar:
            jar[cookie.name] = cookie.value or ""
        self._client.cookies.clear()  # the jar of httpx knows only the dialled address
        return answer

    def expect(self, status: int, method: str, path: str, **rest: Any) -> httpx.Response:
        """As `request`; raises UnexpectedAnswer unless the status is the expected one."""
        answer = self.request(method, path, **rest)
        if answer.status_code != status:
            text = " ".join(answer.text.split())[:200]
            raise UnexpectedAnswer(
                f"{method} {path} answered {answer.status_code} instead of {status}: {text}"
            )
        return answer

    def submit(
        self, page: httpx.Response, *, path: str, host: str | None = None, **fields: str
    ) -> httpx.Response:
        """POSTs the form of `page` whose action ends in `path` (or is empty), fields filled in."""
        parser = _Forms()
        parser.feed(page.text)
        for action, values in parser.forms:
            if action in ("", path) or action.endswith(path):
                return self.request("POST", path, host=host, data=values | fields)
        raise UnexpectedAnswer(f"no form for {path} on the page")

    def enter(self, label: str) -> str:
        """Goes from the base domain to an organisation's host by hand-off; returns that host."""
        path = f"/o/{label}/"
        page = self.expect(200, "GET", path)
        handed = self.submit(page, path=path)
        parser = _Forms()
        parser.feed(handed.text)
        target = next((f for f in parser.forms if f[0].endswith("/hand-off")), None)
        if handed.status_code != 200 or target is None:
            raise UnexpectedAnswer(f"POST {path} answered {handed.status_code} without a hand-off")
        host = urlsplit(target[0]).netloc
        arrived = self.request(
            "POST",
            "/hand-off",
            host=host,
            data=target[1],
            headers={"Origin": f"{self.scheme}://{self.base_host}"},
        )
        if arrived.status_code not in (302, 303):
            raise UnexpectedAnswer(f"the hand-off to {host} answered {arrived.status_code}")
        return host
