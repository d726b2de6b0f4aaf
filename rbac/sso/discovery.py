"""What a provider says of itself (OpenID Connect Discovery 1.0), and the keys it signs with.

Both are kept per process for a while, under the organisation, the provider and its issuer: keys of
one issuer are never tried on the tokens of another (F58). An unknown key id has the keys read
again, once in a while only, because anybody can invent key ids.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final, cast
from uuid import UUID

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from rbac.sso.refusals import SsoRefused
from tenants import outbound
from tenants.models import SsoProvider

KEPT: Final = 600.0  # seconds
KEYS_AGAIN_AFTER: Final = 30.0  # seconds between two readings that an unknown key id causes
FAILED_KEPT: Final = 15.0  # seconds for which one that failed is not asked again
_MOST_KEPT: Final = 512
_MOST_KEYS: Final = 64
_Key = tuple[UUID, UUID, str]


@dataclass
class Metadata:
    """The facts that the flow needs; every address was checked for its form."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    algorithms: tuple[str, ...] = ()
    auth_methods: tuple[str, ...] = ()
    challenge_methods: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    names_issuer: bool = False  # in its answers (RFC 9207)
    read_at: float = field(default_factory=time.monotonic)


@dataclass
class _Keys:
    keys: KeySet
    read_at: float


_lock = threading.Lock()
_metadata: dict[_Key, Metadata] = {}
_keys: dict[_Key, _Keys] = {}
_failed: dict[_Key, tuple[float, str]] = {}  # when, and why


def of(provider: SsoProvider) -> Metadata:
    """The provider's metadata, read at most every 10 minutes, and not again for a moment after it
    failed: whoever waits for a slow one holds a thread. Raises SsoRefused
    `provider_unavailable`."""
    found = _metadata.get(_key(provider))
    if found is None or time.monotonic() - found.read_at > KEPT:
        at, why = _failed.get(_key(provider), (-FAILED_KEPT, ""))
        if why and time.monotonic() - at < FAILED_KEPT:
            raise SsoRefused("provider_unavailable", why)
        try:
            found = read(provider.issuer)
        except SsoRefused as refused:
            if not isinstance(refused.__cause__, outbound.Busy):
                why = refused.detail or refused.code
                _keep(_failed, _key(provider), (time.monotonic(), why))
            raise
        if found.issuer != provider.issuer:
            raise SsoRefused("provider_unavailable", f"it says that it is {found.issuer[:200]}")
        _keep(_metadata, _key(provider), found)
    return found


def read(issuer: str) -> Metadata:
    """Asks the issuer. Its own name for itself must be the one asked for, but for a closing slash,
    in which the answer's spelling counts. Raises SsoRefused `provider_unavailable`."""
    said = _json(issuer.rstrip("/") + "/.well-known/openid-configuration")
    named = said.get("issuer")
    if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
        raise SsoRefused("provider_unavailable", "its discovery document names another issuer")
    return Metadata(
        issuer=named,
        authorization_endpoint=_address(said, "authorization_endpoint"),
        token_endpoint=_address(said, "token_endpoint"),
        jwks_uri=_address(said, "jwks_uri"),
        userinfo_endpoint=_address(said, "userinfo_endpoint", required=False),
        algorithms=_texts(said, "id_token_signing_alg_values_supported"),
        auth_methods=_texts(said, "token_endpoint_auth_methods_supported"),
        challenge_methods=_texts(said, "code_challenge_methods_supported"),
        scopes=_texts(said, "scopes_supported"),
        claims=_texts(said, "claims_supported"),
        names_issuer=said.get("authorization_response_iss_parameter_supported") is True,
    )


def keys(provider: SsoProvider, metadata: Metadata, *, kid: str | None) -> KeySet:
    """The provider's signing keys; read again when `kid` is none of them. Raises SsoRefused
    `exchange_failed`."""
    key = _key(provider)
    found = _keys.get(key)
    age = KEPT if found is None else time.monotonic() - found.read_at
    known = found is not None and (kid is None or any(k.kid == kid for k in found.keys))
    if found is None or age >= KEPT or (not known and age >= KEYS_AGAIN_AFTER):
        found = _Keys(_signing_keys(metadata.jwks_uri), time.monotonic())
        _keep(_keys, key, found)
    return found.keys


def forget(provider: SsoProvider) -> None:
    """What was read of it, under whatever issuer; other processes forget within ten minutes."""
    with _lock:
        for kept in (_metadata, _keys, _failed):
            for key in [k for k in kept if k[1] == provider.pk]:
                del kept[key]


def _key(provider: SsoProvider) -> _Key:
    return provider.organisation_id, provider.pk, provider.issuer


def _keep(kept: dict[_Key, Any], key: _Key, value: Any) -> None:
    with _lock:
        kept.pop(key, None)
        while len(kept) >= _MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = value


def _json(url: str) -> dict[str, Any]:
    try:
        answer = outbound.fetch("GET", url)
        said = answer.json()
    except outbound.OutboundRefused as refused:
        raise SsoRefused("provider_unavailable", str(refused)) from refused
    except (ValueError, RecursionError):
        raise SsoRefused("provider_unavailable", f"{url} answers no JSON") from None
    if answer.status_code != 200 or not isinstance(said, dict):
        raise SsoRefused("provider_unavailable", f"{url} answers {answer.status_code}")
    return said


def _signing_keys(url: str) -> KeySet:
    """Public keys meant for signatures. A shared secret has no place in a published set."""
    try:
        listed = _json(url).get("keys")
        if not isinstance(listed, list):
            raise ValueError("no keys")
        usable = [
            entry
            for entry in listed[:_MOST_KEYS]
            if isinstance(entry, dict)
            and entry.get("kty") in ("RSA", "EC", "OKP")
            and entry.get("use", "sig") == "sig"
        ]
        return KeySet.import_key_set(cast(KeySetSerialization, {"keys": usable}))
    except SsoRefused as refused:
        raise SsoRefused("exchange_failed", f"its keys: {refused.detail}") from None
    except (JoseError, ValueError, TypeError, KeyError):
        raise SsoRefused("exchange_failed", f"{url} holds no usable signing keys") from None


def _address(said: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = said.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise SsoRefused("provider_unavailable", f"its discovery document has no {name}")
    try:
        outbound.check_url(value)
    except outbound.OutboundRefused as refused:
        raise SsoRefused("provider_unavailable", f"{name}: {refused}") from None
    return value


def _texts(said: dict[str, Any], name: str) -> tuple[str, ...]:
    value = said.get(name)
    return tuple(v for v in value if isinstance(v, str))[:200] if isinstance(value, list) else ()
