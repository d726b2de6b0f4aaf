"""Credentials signed with the published test keys, and claims to start from."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vectors import load

_KEYS = load()["credential_keys"]
LICENCE_KEY: str = _KEYS["license_public_b64"]
LEASE_KEY: str = _KEYS["entitlement_public_b64"]
OTHER_KEY: str = _KEYS["other_public_b64"]
_SEEDS = {name: bytes.fromhex(_KEYS[f"{name}_seed_hex"]) for name in ("license", "entitlement")}
_serial = itertools.count(1)
_run = secrets.token_hex(4)


def fresh(prefix: str) -> str:
    """A name that nothing else in this run has."""
    return f"{prefix}_{_run}_{next(_serial)}"


def jws(claims: dict[str, Any], seed: bytes, header: dict[str, Any] | None = None) -> str:
    parts = [{"alg": "EdDSA", "typ": "JWT"} if header is None else header, claims]
    signed = b".".join(_encode(json.dumps(part).encode()) for part in parts)
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(signed)
    return (signed + b"." + _encode(signature)).decode()


def _encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def licence(**claims: Any) -> str:
    """A v5 licence of tier pro as upstream's runtime test makes it; of its own unless `lid` is
    given. A claim of None is left out."""
    now = int(time.time())
    base = {
        "lid": fresh("lic"),
        "email": "owner@example.test",
        "tier": "pro",
        "iat": now,
        "exp": now + 3600,
    }
    return jws(_merged(base, claims), _SEEDS["license"])


def grant(**claims: Any) -> str:
    now = int(time.time())
    base = {
        "iss": "license-server",
        "aud": "relay",
        "lid": fresh("lic"),
        "iid": fresh("inst"),
        "lv": 3,
        "st": "active",
        "tier": "relay",
        "feat": ["relay"],
        "iat": now,
        "exp": now + 3600,
        "jti": "grant",
        "email": "owner@example.test",
    }
    return jws(_merged(base, claims), _SEEDS["license"])


def lease(**claims: Any) -> str:
    now = int(time.time())
    base = {
        "org_id": "default",
        "instance_host": f"{fresh('org').replace('_', '-')}.cloud.example.test",
        "plan_version": "cloud_starter",
        "subscription_state": "active",
        "capabilities": ["relay", "mobile_app"],
        "iss": "pulse-pro-entitlement-lease",
        "aud": ["pulse-pro-entitlement-cache"],
        "iat": now,
        "exp": now + 3600,
    }
    return jws(_merged(base, claims), _SEEDS["entitlement"])


def _merged(base: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in {**base, **claims}.items() if v is not None}
