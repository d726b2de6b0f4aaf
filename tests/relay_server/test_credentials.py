"""Tokens that try to get past the verifier (RFC 8725; F54, F55, F56)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from relay.server.credentials import Credential, Refused, Verifier
from relay.server.keyring import BadKey, Keyring, parse_key
from tests.relay_server.signing import (
    _SEEDS,
    LEASE_KEY,
    LICENCE_KEY,
    OTHER_KEY,
    grant,
    jws,
    lease,
    licence,
)

VERIFIER = Verifier(Keyring(LICENCE_KEY), Keyring(f"{OTHER_KEY},{LEASE_KEY}"))


def verdict(token: str, verifier: Verifier = VERIFIER, now: float | None = None) -> str:
    try:
        return verifier.verify(token, now=now).kind
    except Refused as refused:
        assert token[:20] not in str(refused) or not token
        return refused.code


def signed(header: dict[str, Any], claims: dict[str, Any] | None = None) -> str:
    now = {"lid": "lic_1", "email": "a@example.test", "tier": "pro", "exp": 4102444800}
    return jws({**now, **(claims or {})}, _SEEDS["license"], header)


def test_good_ones() -> None:
    assert [verdict(t) for t in (licence(), grant(), lease())] == ["licence", "grant", "lease"]
    assert verdict(f"  {licence()}\n") == "licence"
    assert VERIFIER.verify(lease(sub="not a uuid")).organisation is None
    organisation = "8f7c9f0e-6a3f-4a53-9d2a-5c3a4f9e7b11"
    assert str(VERIFIER.verify(lease(sub=organisation)).organisation) == organisation


@pytest.mark.covers("F54", "F56")
@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "eddsa"},
        {"alg": ["EdDSA"]},
        {},
        {"alg": "EdDSA", "crit": ["b64"], "b64": False},
        {"alg": "EdDSA", "typ": "invitation"},
        {"alg": "EdDSA", "typ": None},
    ],
)
def test_headers_that_were_never_seen(header: dict[str, Any]) -> None:
    assert verdict(signed(header)) == "LICENSE_INVALID"


@pytest.mark.covers("F54")
def test_a_kid_chooses_nothing() -> None:
    assert verdict(signed({"alg": "EdDSA", "typ": "JWT", "kid": "whatever"})) == "licence"


def test_tokens_that_are_too_long_or_no_tokens() -> None:
    good = licence()
    head, payload, signature = good.split(".")
    padded = licence(note="x" * 7000)
    assert len(padded.split(".")[1]) > 8192
    for bad in (
        "",
        ".",
        "..",
        "a.b.c.d",
        good + ".",
        good + "=",
        f"{head}=.{payload}.{signature}",
        good.replace(".", " ", 1),
        good[:-1] + "é",
        good[:-1] + "+",
        padded,
        "a" * 17000,
        f"{head}.{payload}.",
        f".{payload}.{signature}",
        f"{head}.{payload}.{signature[:-4]}",
    ):
        assert verdict(bad) == "LICENSE_INVALID", bad[:60]


@pytest.mark.parametrize(
    "payload",
    [b"[]", b"1", b"null", b"[" * 5000, b'{"exp":NaN}', b"\xff", b"{" + b'"a":' * 900, b""],
)
def test_payloads_that_are_no_objects(payload: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    def encode(raw: bytes) -> bytes:
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    body = encode(b'{"alg":"EdDSA"}') + b"." + encode(payload)
    signature = Ed25519PrivateKey.from_private_bytes(_SEEDS["license"]).sign(body)
    assert verdict((body + b"." + encode(signature)).decode()) == "LICENSE_INVALID"


@pytest.mark.covers("F55")
@pytest.mark.parametrize(
    ("make", "claims"),
    [
        (licence, {"exp": "4102444800"}),
        (licence, {"exp": True}),
        (licence, {"exp": 1e30}),
        (licence, {"tier": ["pro"]}),
        (licence, {"lid": ""}),
        (licence, {"lid": "x" * 201}),
        (licence, {"lid": "a\u0000"}),
        (licence, {"lid": "\ud800"}),
        (licence, {"features": {"relay": True}, "tier": "free"}),
        (licence, {"capabilities": [1]}),
        (grant, {"lv": "3"}),
        (grant, {"lv": None}),
        (grant, {"iid": None}),
        (grant, {"st": ["active"]}),
        (grant, {"st": "Active"}),
        (grant, {"exp": None}),
        (grant, {"nbf": 4102444800}),
        (lease, {"exp": None}),
        (lease, {"exp": 0}),
        (lease, {"aud": None}),
        (lease, {"aud": {"a": 1}}),
        (lease, {"instance_host": "https://:8443/"}),
        (lease, {"instance_host": "a\nb"}),
        (lease, {"instance_host": None}),
        (lease, {"capabilities": None}),
        (lease, {"capabilities": "relayed"}),
        (lease, {"nbf": 4102444800}),
        (lease, {"iss": None}),  # then it is a licence, and not signed as one
    ],
)
def test_claims_that_prove_nothing(make: Any, claims: dict[str, Any]) -> None:
    assert verdict(make(**claims)) == "LICENSE_INVALID"


def test_a_lease_is_not_taken_for_a_licence_and_the_reverse() -> None:
    """One key for both kinds: the claims decide, and each kind has its own rules."""
    one = Verifier(Keyring(LICENCE_KEY), Keyring(LICENCE_KEY))
    mixed = {"iss": "pulse-pro-entitlement-lease", "lid": "l", "email": "e", "tier": "pro"}
    assert verdict(jws(mixed, _SEEDS["license"]), one) == "LICENSE_INVALID"
    assert verdict(licence(), one) == "licence"
    assert verdict(licence(), Verifier(Keyring(), Keyring(LICENCE_KEY))) == "LICENSE_INVALID"


def test_when_credentials_end() -> None:
    day = 86400.0
    end = 1_800_000_000
    for make, grace in ((licence, 7 * day), (grant, 0.0), (lease, 0.0)):
        token = make(exp=end)
        assert verdict(token, now=end + grace - 1) == make.__name__.replace("licence", "licence")
        assert verdict(token, now=end + grace) == "LICENSE_EXPIRED"
        assert VERIFIER.verify(token, now=end - 1).ends == end + grace
    for never in (None, 0):
        credential = VERIFIER.verify(licence(exp=never, tier="lifetime"), now=9e9)
        assert isinstance(credential, Credential)
        assert credential.ends is None


def test_keys_in_every_accepted_form() -> None:
    raw = base64.b64decode(LICENCE_KEY)
    for text in (
        LICENCE_KEY,
        f"  {LICENCE_KEY}\n",
        LICENCE_KEY.rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    ):
        assert parse_key(text).public_bytes_raw() == raw
    for bad in ("", "=", "abc", LICENCE_KEY[:-8], LICENCE_KEY + "AAAA", "!" * 44, "é" * 43):
        with pytest.raises(BadKey):
            parse_key(bad)
    several = Keyring(f"# old\n{OTHER_KEY}\n\n{LICENCE_KEY}  # new\n")
    assert len(several.keys()) == 2
    assert json.dumps(Keyring("").keys()) == "[]"
