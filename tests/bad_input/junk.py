"""Malformed and random parts of HTTP requests. Everything is drawn from the dice that are handed in.

`Junk` makes parts that keep the message's framing whole, so that they reach the code behind the
server; breaking the framing itself is test_framing's business.
"""

from __future__ import annotations

import json
import random
import string
from typing import Any, Final
from urllib.parse import quote_from_bytes, urlencode
from uuid import UUID

METHODS: Final = [
    "GET", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND",
]  # fmt: skip
# Names that some form, JSON body or address takes.
FIELDS: Final = """
    email org_name host_label invitation login password remember oldpassword password1 password2
    code token reason name next instance_id relay_url auth_token instance_host org_id
    entitlement_refresh_token enabled server_url instance_secret action _selected_action q p o e
    page all format _popup _to_field app_label model_name field_name term object_id state state__exact
    at__gte pk id
""".split()  # noqa: SIM905
HEADERS: Final = """
    Accept Accept-Language Accept-Encoding Authorization Content-Encoding Content-Language
    Cookie Forwarded If-Modified-Since If-None-Match Origin Range Referer User-Agent X-API-Token
    X-CSRFToken X-Forwarded-Host X-Forwarded-Proto X-HTTP-Method-Override X-Pulse-Org-ID
    X-Request-Id X-Requested-With Sec-Fetch-Site
""".split()  # noqa: SIM905
CONTENT_TYPES: Final = [
    "application/json", "application/json; charset=utf-16", "application/json; charset=nonsense",
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=\xff", "application/xml", "/", "",
    "application/octet-stream", "application/problem+json", "text/html; charset=\x85",
]  # fmt: skip
# Whitespace to Python that is none to HTTP, and letters whose case or width plays tricks.
ODD: Final = "\x85\xa0\u2028\u3000\ufeff\u0130\u212a\uff0f\u202e\U0001f4f1é"


class Junk:
    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def text(self) -> str:
        """A text of any kind; may hold NUL and lone surrogates."""
        dice = self.dice
        match dice.randrange(13):
            case 0:
                return ""
            case 1:
                return "".join(dice.choices(string.printable, k=dice.randrange(60)))
            case 2:
                return "".join(chr(dice.randrange(256)) for _ in range(dice.randrange(40)))
            case 3:
                return "\x00" + dice.choice(["", "a" * 12])
            case 4:
                return dice.choice(["\ud800", "a\udfff", "\udcff" * 9])
            case 5:
                return "".join(dice.choices(ODD, k=5))
            case 6:
                return "x" * dice.choice([65, 300, 5000])
            case 7:
                return dice.choice(
                    ["../../etc/passwd", "..\\..", "/", "//evil.example", "%s%n", "%"]
                )
            case 8:
                return dice.choice(["' OR 1=1 --", "<script>", "{{7*7}}", "${jndi:x}", "*", "-1"])
            case 9:
                return str(dice.choice([0, -1, 2**31, 2**63, 10**30, float("nan"), 1e400]))
            case 10:
                return str(UUID(int=dice.getrandbits(128)))
            case 11:
                return "".join(dice.choices("0123456789abcdef", k=64))
            case _:
                return dice.choice(["null", "true", "[]", "a@b", "a@b.example", "localhost:1"])

    def value(self, depth: int = 0) -> Any:
        """Any JSON value."""
        dice = self.dice
        match dice.randrange(9 if depth < 3 else 6):
            case 0:
                return None
            case 1:
                return dice.choice([True, False])
            case 2:
                return dice.choice([0, -1, 2**63, 10**300, 1.5, -0.0])
            case 3 | 4 | 5:
                return self.text()
            case 6:
                return [self.value(depth + 1) for _ in range(dice.randrange(4))]
            case _:
                return self.fields(depth + 1)

    def fields(self, depth: int = 0) -> dict[str, Any]:
        names = self.dice.sample(FIELDS, self.dice.randrange(1, 6))
        return {self.text() if n == "pk" else n: self.value(depth) for n in names}

    def json(self) -> bytes:
        """JSON, or what pretends to be."""
        if self.dice.random() < 0.4:
            return self.refused_json()
        return json.dumps(self.fields(), ensure_ascii=self.dice.random() < 0.7).encode(
            "utf-8", "surrogatepass"
        )

    def refused_json(self) -> bytes:
        """Never an acceptable body: no JSON, no object, or text that cannot be stored."""
        dice = self.dice
        match dice.randrange(14):
            case 0:
                return b"{" * dice.choice([1, 50, 60_000])
            case 1:
                return b'{"name":' * 1500 + b"1" + b"}" * 1499
            case 2:
                return b"[" * 3000 + b"]" * 3000
            case 3:
                return b'{"name": ' + b"9" * 5000 + b"x}"
            case 4:
                return dice.choice([b'{"name": NaN}', b'{"name": Infinity}', b'{"a": -Infinity}'])
            case 5:
                return dice.choice(
                    [b'{"name": "\\u0000"}', b'{"\\u0000": 1}', b'{"reason": "\\ud800"}']
                )
            case 6:
                return dice.choice([b"null", b"[]", b'"text"', b"12", b"true", b"[{}]", b"1e999"])
            case 7:
                return b'{"name": "' + bytes(dice.choices(range(128, 256), k=9)) + b'"}'
            case 8:
                return b"\xef\xbb\xbf{}"
            case 9:
                return '{"name": "x"}'.encode(dice.choice(["utf-16", "utf-32"]))
            case 10:
                return b'{"name": "x"} trailing'
            case 11:
                return b"{'name': 'x'}"
            case 12:
                return b"\x00" * dice.randrange(1, 50)
            case _:
                return b"\x80" + dice.randbytes(dice.randrange(1, 300))

    def form(self, **fixed: str) -> bytes:
        names = self.dice.sample(FIELDS, self.dice.randrange(1, 8))
        pairs = [(n, self.text().encode("utf-8", "surrogatepass")) for n in names]
        text = urlencode([*pairs, *fixed.items()]).encode()
        return text + self.dice.choice([b"", b"", b"&", b"&=&%", b"&a=%zz%00", b"&" * 2000])

    def multipart(self, boundary: str, **fixed: str) -> bytes:
        parts = [(name, value.encode()) for name, value in fixed.items()]
        parts += [
            (n, self.text().encode("utf-8", "surrogatepass")) for n in self.dice.sample(FIELDS, 3)
        ]
        body = b""
        for name, value in parts:
            file = f'; filename="{quote_from_bytes(value[:9])}"' if self.dice.random() < 0.2 else ""
            body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}'.encode()
            body += self.dice.choice(
                [b"", b"\r\nContent-Transfer-Encoding: base64", b"\r\nX: \xff"]
            )
            body += b"\r\n\r\n" + value + b"\r\n"
        return body + self.dice.choice([f"--{boundary}--\r\n".encode(), b"", b"--"])

    def segment(self) -> str:
        """One variable part of a path, percent-encoded more or less well."""
        text = self.text().encode("utf-8", "surrogatepass")
        match self.dice.randrange(4):
            case 0:
                return quote_from_bytes(text, safe="/:@!$&'()*+,;=-._~%")[:2000]
            case 1:
                return self.dice.choice(
                    ["%00", "%0d%0aX:%20y", "%ff", "%ED%A0%80", "%zz", "%", "..%2f"]
                )
            case _:
                return quote_from_bytes(text, safe="")[:2000]

    def query(self) -> str:
        if self.dice.random() < 0.5:
            return ""
        text = self.form()[:2500].decode("ascii", "ignore")
        if self.dice.random() < 0.9:  # such a query is refused before anybody looks at it
            text = text.replace("%00", "").replace("&&&", "")
        return "?" + text

    def header(self) -> tuple[str, bytes]:
        """A header that the server lets pass: no control character in its value."""
        name = self.dice.choice(HEADERS)
        value = self.text().encode("utf-8", "surrogatepass")[:2000]
        if name == "Cookie":
            return name, self.cookie()
        return name, bytes(b for b in value if b >= 32 and b != 127).strip()

    def cookie(self) -> bytes:
        """Names that we read, with values that cookie parsers unquote."""
        name = self.dice.choice(["pulsecloud_session", "csrftoken", "messages", "sessionid", ""])
        value = self.dice.choice(
            [
                b'"aaaaaaaa\\000bbbbbbbbbbbbbbbbbbbbbbbb"',
                b'"\\777\\377aaaaaaaa"',
                b"a" * 32,
                b"\xff" * 32,
                b"a" * 4000,
                b"",
                b"=;=;=",
                b'"' * 40,
            ]
        )
        return name.encode() + b"=" + value

    def address(self) -> str:
        """A client's address, so that no limit per address hides what stands behind it."""
        return somebody(self.dice)


def somebody(dice: random.Random | None = None) -> str:
    """An address that most likely nobody used yet."""
    dice = dice or random.SystemRandom()
    return ".".join(str(dice.randrange(1, 255)) for _ in range(4))
