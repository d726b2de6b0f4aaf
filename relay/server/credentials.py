"""Licences, v6 grants and entitlement leases, verified offline (relay-protocol section 7).

Each is a compact JWS with an Ed25519 signature. The kind is told by the claims, and each kind has
its own keys: a lease says `iss` = `pulse-pro-entitlement-lease`, a grant has `iid`, `lv` or `st`,
everything else is a v5-style licence. What is not proved good is refused: the only verdicts are a
Credential, LICENSE_INVALID, and LICENSE_EXPIRED for a genuine credential whose time is over.
"""

from __future__ import annotations

import base64
import json
import math
import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from relay.server.keyring import Keyring
from relay.wire.frames import ErrorCode
from relay.wire.instance_id import normalise_host

TOKEN_CAP = 16 * 1024  # characters; upstream's licence parser has the same three caps
SEGMENT_CAP = 8 * 1024
LICENCE_GRACE = 7 * 86400.0  # seconds: an instance keeps an expired v5 licence as long
CLOCK_SKEW = 60.0  # seconds by which a signer's clock may be ahead of ours
LONGEST_ID = 200  # characters of lid and iid that the session table holds

LEASE_ISSUER = "pulse-pro-entitlement-lease"
LEASE_AUDIENCE = "pulse-pro-entitlement-cache"
RELAY_TIERS = frozenset(
    ["relay", "pro", "pro_plus", "pro_annual", "lifetime", "business", "cloud", "msp", "enterprise"]
)
GOOD_GRANT_STATES = frozenset({"active", "past_due", "grace"})
PAID_STATES = frozenset({"active", "trial", "grace"})

Kind = Literal["licence", "grant", "lease"]


class Refused(Exception):
    """A credential that does not open the relay; `code` is LICENSE_INVALID or LICENSE_EXPIRED. The
    text is for logs and people and quotes nothing of the credential."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Credential:
    """A verified credential. `host` is set for leases, `licence_id` for the other two.

    `ends` is the Unix time at which the relay stops honouring it, None for never."""

    kind: Kind
    ends: float | None
    licence_id: str = ""
    installation_id: str = ""
    host: str = ""
    organisation: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Verifier:
    """Keys and rules. `licence_keys` verify licences and grants, `lease_keys` leases."""

    licence_keys: Keyring
    lease_keys: Keyring
    grant_issuer: str = ""
    grant_audience: str = ""

    def verify(self, token: str, *, now: float | None = None) -> Credential:
        """Raises Refused. `now` is Unix time."""
        now = time.time() if now is None else now
        claims, signed, signature = _open(token.strip())
        # Claims are not trusted before the signature is checked; they only choose the keys.
        lease = claims.get("iss") == LEASE_ISSUER
        keys = self.lease_keys if lease else self.licence_keys
        if not keys.verify(signature, signed):
            _invalid("the signature fits none of the configured keys")
        if lease:
            return _lease(claims, now)
        if not {"iid", "lv", "st"}.isdisjoint(claims):
            return self._grant(claims, now)
        return _licence(claims, now)

    def _grant(self, claims: dict[str, Any], now: float) -> Credential:
        licence_id, installation_id = _id(claims, "lid"), _id(claims, "iid")
        if self.grant_issuer and claims.get("iss") != self.grant_issuer:
            _invalid("the grant comes from another issuer")
        if self.grant_audience and self.grant_audience not in _words(claims, "aud"):
            _invalid("the grant is for another audience")
        if type(claims.get("lv")) is not int:
            _invalid("the grant has no version")
        if _text(claims, "st") not in GOOD_GRANT_STATES:
            _invalid("the grant is suspended")
        if _text(claims, "tier") not in RELAY_TIERS and "relay" not in _words(claims, "feat"):
            _invalid("the grant does not include the relay")
        _not_before(claims, now)
        ends = _time(claims, "exp")
        if not ends:
            _invalid("the grant has no end")
        if ends <= now:
            raise Refused(ErrorCode.LICENSE_EXPIRED, "the grant has expired")
        return Credential("grant", ends, licence_id, installation_id)


def _licence(claims: dict[str, Any], now: float) -> Credential:
    licence_id = _id(claims, "lid")
    for name in ("email", "tier"):
        if not _text(claims, name):
            _invalid(f"the licence has no {name}")
    capabilities = _words(claims, "capabilities")
    if capabilities:  # a list that says anything replaces what the tier would give
        includes = "relay" in capabilities
    else:
        includes = claims["tier"] in RELAY_TIERS or "relay" in _words(claims, "features")
    if not includes:
        _invalid("the licence does not include the relay")
    expires = _time(claims, "exp")
    ends = expires + LICENCE_GRACE if expires else None  # absent or 0: for a lifetime
    if ends is not None and ends <= now:
        raise Refused(ErrorCode.LICENSE_EXPIRED, "the licence has expired")
    return Credential("licence", ends, licence_id)


def _lease(claims: dict[str, Any], now: float) -> Credential:
    if LEASE_AUDIENCE not in _words(claims, "aud"):
        _invalid("the lease is for another audience")
    if claims.get("provider_license"):
        _invalid("a lease of a provider does not include the relay")
    if not _text(claims, "org_id").strip():
        _invalid("the lease names no organisation")
    host = _text(claims, "instance_host")
    host = normalise_host(host) if _clean(host) else ""
    if not host:
        _invalid("the lease names no host")
    if "relay" not in _words(claims, "capabilities"):
        _invalid("the lease does not include the relay")
    _not_before(claims, now)
    ends = _time(claims, "exp")
    if not ends:
        _invalid("the lease has no end")
    if ends <= now:
        raise Refused(ErrorCode.LICENSE_EXPIRED, "the lease has expired")
    if _text(claims, "subscription_state") not in PAID_STATES:
        raise Refused(ErrorCode.LICENSE_EXPIRED, "the subscription has ended")
    return Credential("lease", ends, host=host, organisation=_uuid(claims.get("sub")))


# --- compact JWS (RFC 7515) ----------------------------------------------------------------------


def _open(token: str) -> tuple[dict[str, Any], bytes, bytes]:
    """Claims, signed bytes and signature of a compact JWS, nothing verified yet. Raises Refused."""
    if not token or len(token) > TOKEN_CAP or not token.isascii():
        _invalid("the credential is not a token")
    segments = token.split(".")
    if len(segments) != 3 or any(len(s) > SEGMENT_CAP for s in segments):
        _invalid("the credential is not a token")
    header = _object(_unbase64(segments[0]))
    # Exactly the headers that were ever seen: no `alg: none`, no HS256 keyed with the public key,
    # no `crit` that asks for what is not understood, no token of another type (RFC 8725).
    if header.get("alg") != "EdDSA" or "crit" in header or header.get("typ", "JWT") != "JWT":
        _invalid("the credential is not signed with EdDSA")
    signed = f"{segments[0]}.{segments[1]}".encode()
    return _object(_unbase64(segments[1])), signed, _unbase64(segments[2])


_URL_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def _unbase64(segment: str) -> bytes:
    if not _URL_SAFE.issuperset(segment) or len(segment) % 4 == 1:
        _invalid("the credential is not a token")
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        values = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _invalid("the credential holds no JSON")
    if not isinstance(values, dict):
        _invalid("the credential holds no JSON object")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON, and compare with nothing


# --- claims --------------------------------------------------------------------------------------


def _invalid(why: str) -> NoReturn:
    raise Refused(ErrorCode.LICENSE_INVALID, why)


def _id(claims: dict[str, Any], name: str) -> str:
    value = _text(claims, name)
    if not 0 < len(value) <= LONGEST_ID or not _clean(value):
        _invalid(f"the credential has no usable {name}")
    return value


def _text(claims: dict[str, Any], name: str) -> str:
    """A claim that is a text; empty when it is absent or anything else."""
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _clean(text: str) -> bool:
    """Without control characters and lone surrogates: it is stored and hashed as UTF-8."""
    return not any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in text)


def _words(claims: dict[str, Any], name: str) -> list[str]:
    """A claim that is a text or a list of texts; empty when absent. Raises Refused."""
    value = claims.get(name)
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        _invalid(f"{name} of the credential is not a list")
    return words


def _time(claims: dict[str, Any], name: str) -> float | None:
    """Unix seconds; None when absent, null or 0. Raises Refused."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) < 2**62 or math.isnan(value):
        _invalid(f"{name} of the credential is not a time")
    return float(value) or None


def _not_before(claims: dict[str, Any], now: float) -> None:
    start = _time(claims, "nbf")
    if start is not None and start > now + CLOCK_SKEW:
        _invalid("the credential is not valid yet")


def _uuid(value: object) -> uuid.UUID | None:
    """The organisation, when `sub` names one; other signers may put anything there."""
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
