"""Secrets stay out of the logs also where they are sent to the wrong place, torn or garbled.

One product with a PostgreSQL of its own, at log level DEBUG. Every kind of secret is minted and
used in earnest; then each is sent where it does not belong, while a database that is killed makes
requests fail in the middle. In the end all logs are searched for all of them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest
from django.conf import settings
from django.db import connections
from websockets.exceptions import WebSocketException

from audit.actors import Actor
from billing import leases, refresh
from billing.models import SigningKey
from relay import runtime_choice
from relay.models import Registration
from relay.phone import Phone, PhoneError
from relay.wire.frames import Connect, FrameType, Register, encode
from tenants import invitations, sealing
from tenants.models import OutboxMail, Runtime
from tests import secrets_seen
from tests.bad_input.talking import Line, message
from tests.factories import make_token
from tests.product import Member, Product, free_port, looking_into_its_own, running_product
from tests.raw_socket import RawSocket
from tests.waiting import until

WANTED = {
    "invitation", "verification link", "sign-in link", "password reset link", "hand-off",
    "session", "CSRF token", "password", "API token", "mobile token", "deep link", "lease",
    "relay session", "refresh token", "identity key", "signing key", "SECRET_KEY",
    "encryption key", "database password", "mail password", "metrics token",
}  # fmt: skip


# What leaves the house at all; the others are only searched for.
GIVEN_OUT = WANTED - {
    "identity key", "signing key", "SECRET_KEY", "encryption key", "database password",
    "mail password", "metrics token",
}  # fmt: skip
# Nobody writes these into an address.
NEVER_IN_ADDRESSES = {"session", "CSRF token", "password"}


@dataclass
class Purse:
    """{kind: its secrets}; `secrets_seen` knows all of them."""

    held: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, *values: str) -> str:
        for value in values:
            secrets_seen.seen(value, kind)
            self.held.setdefault(kind, []).append(value)
        return values[0]

    def cookies(self, member: Member) -> None:
        for jar in member.browser._cookies.values():
            for name, value in jar.items():
                self.add("CSRF token" if "csrf" in name else "session", value)


@pytest.fixture
def purse() -> Purse:
    return Purse()


@pytest.fixture
def product(live_db: None, purse: Purse) -> Iterator[Product]:
    mail_password, metrics_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    with running_product(
        PULSECLOUD_LOG_LEVEL="DEBUG",
        PULSECLOUD_SIGNUPS_PER_ADDRESS="1000",
        PULSECLOUD_SIGNUPS_PER_MAIL="1000",
        METRICS_TOKEN=metrics_token,
        # Nobody listens there: mail stays, with its links, and every attempt is logged.
        EMAIL_URL=f"smtp://mailer:{mail_password}@127.0.0.1:{free_port()}",
    ) as running:
        purse.add("mail password", mail_password)
        purse.add("metrics token", metrics_token)
        with looking_into_its_own(running):
            yield running


@pytest.mark.covers("F48")
def test_no_secret_in_any_log(product: Product, purse: Purse) -> None:
    link = earnest(product, purse)
    outside_runtime(product, purse)
    at_rest(product, purse)
    assert set(purse.held) == WANTED
    every_wrong_place(product, purse)
    asyncio.run(wrong_at_the_relay(product, purse, link))
    while_the_database_dies(product, purse)
    assert '"level": "debug"' in product.log("web") + product.log("worker")
    assert "Traceback" in product.log("web"), "nothing failed in the middle"
    product.stop()
    secrets_seen.check(product.data_dir)


def earnest(product: Product, purse: Purse) -> str:
    """Everything used as it should be, by one person; returns the phone's deep link."""
    member = by_mail(product, purse)
    browser = member.browser
    purse.cookies(member)
    password = purse.add("password", secrets.token_urlsafe(16))
    page = browser.expect(200, "GET", "/accounts/password/set/")
    fields = {"password1": password, "password2": password}
    assert browser.submit(page, path="/accounts/password/set/", **fields).status_code == 302
    other = product.browser()
    for attempt in ("wrong " + password, password):
        page = other.expect(200, "GET", "/accounts/login/")
        other.submit(page, path="/accounts/login/", login=member.email, password=attempt)
    reset(product, purse, member.email)
    hand_off(member, purse)
    member.host = browser.enter(member.label)
    purse.cookies(member)
    minted = browser.expect(
        200, "POST", "/api/security/tokens/relay-mobile", host=member.host, json={"name": "x"}
    ).json()
    purse.add("mobile token", minted["token"])
    headers = {"X-API-Token": minted["token"]}
    for path in ("/api/onboarding/qr", "/api/onboarding/qr.svg"):
        browser.expect(200, "GET", path, host=member.host, headers=headers)
    shown = browser.expect(
        200, "GET", "/api/onboarding/deep-link", host=member.host, headers=headers
    )
    link = purse.add("deep link", shown.json()["url"])
    asyncio.run(use_phone(link))
    purse.add("API token", make_token(member.organisation))
    purse.add("lease", leases.issue(member.organisation, issued_for="runtime").token)
    purse.cookies(member)
    return link


def by_mail(product: Product, purse: Purse) -> Member:
    """Signs up with an ordinary invitation, proves the mailbox, and comes back by a second link."""
    invited = invitations.invite(actor=Actor.system("test"))
    purse.add("invitation", invited.token)
    browser = product.browser()
    email = f"{secrets.token_hex(6)}@example.test"
    wish = {"email": email, "org_name": "Logs", "invitation": invited.token}
    browser.expect(202, "POST", "/api/public/signup", json=wish)
    path = mailed(email, "/signup/verify/")
    purse.add("verification link", path.rpartition("/")[2])
    page = browser.expect(200, "GET", path)
    assert browser.submit(page, path=path).status_code == 303
    status = until(lambda: settled(browser.request("GET", "/signup/status")), 30)
    browser.expect(202, "POST", "/api/public/signup", json=wish)
    path = mailed(email, "/sign-in/")
    purse.add("sign-in link", path.rpartition("/")[2])
    page = browser.expect(200, "GET", path)
    assert browser.submit(page, path=path).status_code == 303
    return Member(browser, status["label"], email, UUID(status["organisation"]))


def settled(answer: httpx.Response) -> dict[str, str] | None:
    status: dict[str, str] = answer.json() if answer.status_code == 200 else {}
    return status if status.get("state") == "active" else None


def mailed(email: str, start: str) -> str:
    """The path of the newest link of that kind in this mailbox."""

    def look() -> str:
        for mail in OutboxMail.objects.filter(recipient=email).order_by("-pk"):
            if found := re.search(rf"http://\S+?({start}\S+)", mail.body):
                return found[1]
        return ""

    return until(look, 10)


def hand_off(member: Member, purse: Purse) -> None:
    """The token in the form that leads to the organisation's host."""
    path = f"/o/{member.label}/"
    form = member.browser.submit(member.browser.expect(200, "GET", path), path=path)
    found = re.search(r'name="token" value="([^"]+)"', form.text)
    assert found, form.text
    purse.add("hand-off", found[1])


def reset(product: Product, purse: Purse, email: str) -> None:
    """Asks for a new password and opens the link."""
    browser = product.browser()
    page = browser.expect(200, "GET", "/accounts/password/reset/")
    browser.submit(page, path="/accounts/password/reset/", email=email)
    path = mailed(email, "/accounts/password/reset/key/")
    purse.add("password reset link", path.strip("/").rpartition("/")[2].partition("-")[2])
    browser.request("GET", path)


async def use_phone(link: str) -> None:
    async with Phone.from_link(link) as phone:
        assert (await phone.request("GET", "/api/organisation")).status == 200


def outside_runtime(product: Product, purse: Purse) -> None:
    """A runtime of the owner's own: refresh token, lease, registration, session at the relay."""
    member = product.signed_up("Outside")
    purse.cookies(member)
    organisation = runtime_choice.switch_runtime(
        organisation=member.organisation, to=Runtime.EXTERNAL, actor=Actor.system("test")
    )
    token = refresh.issue_refresh_token(organisation, actor=Actor.system("test"))
    purse.add("refresh token", token)
    body = {"instance_host": organisation.instance_host, "entitlement_refresh_token": token}
    browser = product.browser()
    answer = browser.expect(200, "POST", "/api/entitlements/refresh", json=body)
    lease = purse.add("lease", answer.json()["entitlement_jwt"])
    purse.add("relay session", until(lambda: asyncio.run(registered(product, lease)), 20))


async def registered(product: Product, lease: str) -> str:
    """The session token that the relay gives; empty while the built-in runtime holds the place."""
    async with await RawSocket.open(f"ws://{address(product)}/ws/instance") as socket:
        await socket.send(Register(lease, client_version="6.3.0"))
        frame = await socket.frame()
        if frame.type is not FrameType.REGISTER_ACK:
            return ""
        return str(json.loads(frame.payload)["session_token"])


def at_rest(product: Product, purse: Purse) -> None:
    for row in Registration.objects.all():
        key = sealing.open_sealed(row.sealed_identity_key, context=str(row.organisation_id))
        purse.add("identity key", text_of(key))
    for signing in SigningKey.objects.all():
        seed = sealing.open_sealed(signing.sealed_private_key, context=f"signing-key:{signing.kid}")
        purse.add("signing key", text_of(seed))
    purse.add("SECRET_KEY", settings.SECRET_KEY)
    purse.add("encryption key", settings.ENCRYPTION_KEY)
    purse.add("database password", str(connections["default"].settings_dict["PASSWORD"]))


def text_of(key: bytes) -> str:
    return base64.b64encode(key).decode()


def every_wrong_place(product: Product, purse: Purse) -> None:
    """Each secret where a person, a program or a broken proxy might put it."""
    base = f"localhost:{product.web[1]}".encode()
    with Line(product.web) as line:
        for kind in sorted(GIVEN_OUT):
            for value in purse.held[kind][-1:]:
                for sent in misplaced(kind, value, base):
                    with contextlib.suppress(OSError):
                        line.ask(sent)


def misplaced(kind: str, value: str, host: bytes) -> Iterator[bytes]:
    secret = value.encode()
    to = [("Host", host)]
    unknown = [("Host", b"canary-000000000000." + host)]
    for name in ("X-API-Token", "Authorization", "X-CSRFToken"):
        for before in (b"", b"Bearer ", b"Basic ", b"bearer\xa0"):
            yield message("GET", "/api/organisation", [*unknown, (name, before + secret)])
    yield message("GET", "/", [*to, ("Cookie", b"pulsecloud_session=" + secret)])
    yield message("GET", "/", [*to, ("Cookie", b'pulsecloud_session="' + secret)])
    for path, name in (
        ("/signup", "invitation"),
        ("/signup", "token"),
        ("/api/onboarding/qr", "auth_token"),
        ("/nowhere", "q"),
        ("/accounts/login/", "next"),
        ("/admin/", "next"),
    ):
        yield message("GET", f"{path}?{name}={quoted(value)}", to)
    if kind not in NEVER_IN_ADDRESSES:
        for path in ("/sign-in/", "/signup/verify/", "/hand-off/", "/x/", "/api/security/tokens/"):
            yield message("GET", path + quoted(value), to)
            yield message("POST", path + quoted(value), to, b"")
    for body in (
        b'{"invitation": "%s"' % secret,
        b'{"entitlement_refresh_token": "%s", "instance_host": 5}' % secret,
        b'{"instance_host": "x.localhost", "entitlement_refresh_token": "%s"}' % secret,
        b'["%s"]' % secret,
        b"\xff" + secret,
        b'{"auth_token": "%s"}' % secret + b" " * 70_000,
    ):
        kind_of = ("Content-Type", b"application/json")
        for path in ("/api/public/signup", "/api/entitlements/refresh", "/signup"):
            yield message("POST", path, [*to, kind_of], body)
    # Torn messages: what the server cannot read, it may not quote either.
    yield b"GET /sign-in/" + secret + b" HTTP/9.9\r\nHost: " + host + b"\r\n\r\n"
    yield (
        b"GET / HTTP/1.1\r\nHost: "
        + host
        + b"\r\nCookie pulsecloud_session="
        + secret
        + b"\r\n\r\n"
    )
    yield b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nX-API-Token\x0b: " + secret + b"\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nX-API-Token: a\r\n " + secret + b"\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n" + secret + b": x\r\n\r\n"
    yield b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nX-API-Token: \x00" + secret + b"\r\n\r\n"
    yield b"Authorization: " + secret + b"\r\n\r\n"
    yield b"token=" + secret + b"\r\n\r\n"


def quoted(value: str) -> str:
    return httpx.QueryParams({"a": value}).__str__()[2:]


async def wrong_at_the_relay(product: Product, purse: Purse, link: str) -> None:
    """Credentials that the relay refuses, and frames that it cannot read."""
    apps, instances = (f"ws://{address(product)}/ws/{kind}" for kind in ("app", "instance"))
    for kind in sorted(GIVEN_OUT):
        value = purse.held[kind][-1]
        text = f'{{"license_token": "{value}", "auth_token": "{value}", "session_token": "{value}"'
        unknown = "relay_0123456789abcdef"
        await asyncio.gather(
            first_frame(instances, Register(value)),
            first_frame(instances, Register(value[:-3] + "abc")),
            first_frame(instances, Register("", session_token=value, instance_hint=unknown)),
            first_frame(instances, encode(FrameType.REGISTER, 0, text.encode())),
            first_frame(instances, text),
            first_frame(apps, Connect(unknown, value)),
            first_frame(apps, Connect(value, value)),
            first_frame(apps, encode(FrameType.CONNECT, 0, text.encode())),
            first_frame(apps, text.encode()),
            first_frame(apps + f"?token={quoted(value)}", Connect("", "")),
        )
    with contextlib.suppress(PhoneError):
        async with Phone.from_link(link.replace("auth_token=", "auth_token=0")) as phone:
            await phone.request("GET", "/api/organisation")


async def first_frame(url: str, sent: Register | Connect | bytes | str) -> None:
    with contextlib.suppress(TimeoutError, OSError, WebSocketException):
        async with await RawSocket.open(url) as socket:
            await socket.send(sent)
            await socket.closed(1)


def while_the_database_dies(product: Product, purse: Purse) -> None:
    """Requests that fail with a traceback, here and in every other process."""
    session = purse.held["session"][0]
    host = f"localhost:{product.web[1]}".encode()
    asked = [
        message("GET", "/signup/status", [("Host", host), ("Cookie", f"pulsecloud_session={session}".encode())]),
        message(
            "POST",
            "/api/public/signup",
            [("Host", host), ("Content-Type", b"application/json")],
            b'{"email": "ann@example.test", "org_name": "Ann", "invitation": "%s"}'
            % purse.held["invitation"][0].encode(),
        ),
        message(
            "GET",
            "/sign-in/" + purse.held["sign-in link"][0],
            [("Host", host), ("X-API-Token", purse.held["API token"][0].encode())],
        ),
    ]  # fmt: skip
    product.kill("postgres")
    with Line(product.web) as line:
        statuses = {line.ask(each).status for _ in range(3) for each in asked}
    assert statuses & {500, 503}, statuses

    def back() -> bool:
        answer = httpx.get(f"http://127.0.0.1:{product.web[1]}/readyz")
        return answer.status_code == 200

    until(back, 30, every=0.2)


def address(product: Product) -> str:
    return f"{product.relay[0]}:{product.relay[1]}"
