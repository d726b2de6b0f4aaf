"""An identity provider of the test's own: real HTTP, really signed tokens, and it lies on demand.

By default it does everything right, client authentication and PKCE included. `claims` is merged into
what it says of whoever signs in; `twist` may change the claims (None takes one out), `sign` replaces
the signing, `answers` replaces whole answers by path.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

KEY = RSAKey.generate_key(2048, {"kid": "test-1", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "test-1", "use": "sig"})
CLIENT = ("pulsecloud", "a client secret")

Answer = tuple[int, dict[str, str], bytes]


def signed(claims: dict[str, Any], key: RSAKey = KEY, **header: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key)


def unsigned(claims: dict[str, Any]) -> str:
    """alg none, as RFC 7519 section 6 spells it."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}."


@dataclass
class Idp:
    port: int
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "ann"})
    userinfo: dict[str, Any] = field(default_factory=dict)
    twist: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] = signed
    answers: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)
    keys: list[RSAKey] = field(default_factory=lambda: [KEY])
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def signs_in(self, address: str) -> dict[str, str]:
        """The person signs in at this authorisation address; what the browser brings back."""
        query = {k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    def callback(self, address: str) -> str:
        """The path and query of the callback that the browser is sent to."""
        query = parse_qs(urlsplit(address).query)
        target = urlsplit(query["redirect_uri"][0])
        return f"{target.path}?{urlencode(self.signs_in(address))}"

    # --- what it answers -----------------------------------------------------------------------

    def answer(self, path: str, form: dict[str, str], headers: Any) -> Answer:
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]()
        if path == "/.well-known/openid-configuration":
            return say(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/jwks",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "scopes_supported": ["openid", "email", "groups"],
                    **self.metadata,
                }
            )
        if path == "/jwks":
            return say({"keys": [key.as_dict(private=False) for key in self.keys]})
        if path == "/userinfo":
            return say({"sub": self.claims.get("sub"), **self.userinfo})
        if path == "/token":
            return self._token(form, headers)
        return 404, {}, b""

    def _token(self, form: dict[str, str], headers: Any) -> Answer:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        )
        basic = base64.b64encode(":".join(CLIENT).encode()).decode()
        good = (
            asked is not None
            and challenge.rstrip(b"=").decode() == asked["code_challenge"]
            and form.get("redirect_uri") == asked["redirect_uri"]
            and headers["Authorization"] == f"Basic {basic}"
        )
        if asked is None or not good:
            return say({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT[0],
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **({"auth_time": now} if "max_age" in asked else {}),
            **self.claims,
            **self.twist,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return say(
            {
                "access_token": "an-access-token",
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": self.sign(claims),
                **self.tokens,
            }
        )


def say(body: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


@contextmanager
def running() -> Iterator[Idp]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._reply({k: v[0] for k, v in parse_qs(body).items()})

        def _reply(self, form: dict[str, str]) -> None:
            status, headers, body = idp.answer(urlsplit(self.path).path, form, self.headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    idp = Idp(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield idp
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
