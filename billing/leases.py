"""Entitlement leases: what an organisation may do, signed, for a day (hosted-contract section 15).

A lease is a hosted organisation's relay credential: the relay verifies it offline. The token is
never stored; a `Lease` row says that one was signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction
from django.utils import timezone

from billing import keys, subscription
from billing.hosts import normalised
from billing.models import BillingState, Lease
from tenants.models import Organisation, State

ISSUER: Final = "pulse-pro-entitlement-lease"
AUDIENCE: Final = "pulse-pro-entitlement-cache"
ORG_ID: Final = "default"
# A runtime renews about every 2 h, so this is nearly two days of history per organisation.
KEPT_ROWS: Final = 20


class LeaseRefused(Exception):
    """No lease for this organisation now.

    `code` is `not_active` (its state), `not_ready` (it has no billing state yet) or
    `not_entitled` (nothing paid and no trial running).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class SignedLease:
    """A compact JWS and when it runs out. Keep the token out of logs and databases."""

    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SignedLease(expires_at={self.expires_at.isoformat()})"


def issue(organisation: Organisation, *, issued_for: str) -> SignedLease:
    """Signs a lease of 24 h, or until the trial ends when that is sooner, and records that.

    `issued_for` is `provisioning`, `runtime` or `refresh`. State and billing are read afresh, so
    the object passed in may be stale. Raises LeaseRefused, and tenants.sealing.SealError when the
    signing key cannot be opened.
    """
    with transaction.atomic():
        # Locked, so that a lease is signed before a suspension or refused after it. (The relay's
        # list of blocked instances keeps one signed just before from outliving it.)
        current = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
        allowed = State.PROVISIONING if issued_for == "provisioning" else State.ACTIVE
        if current.state != allowed:
            raise LeaseRefused("not_active", f"The organisation is {current.state}.")
        billing = BillingState.objects.filter(organisation=current).first()
        if billing is None:
            raise LeaseRefused("not_ready", "The organisation has no billing state.")
        now = timezone.now().replace(microsecond=0)
        if not subscription.is_live(billing, now):
            raise LeaseRefused(
                "not_entitled", f"The subscription is {subscription.describe(billing, now)}."
            )
        expires_at = now + keys.LEASE_LIFE
        if subscription.on_trial(billing) and billing.trial_ends_at is not None:
            expires_at = min(expires_at, billing.trial_ends_at.replace(microsecond=0))
        key = keys.active()
        email = current.owner_email if issued_for == "refresh" else ""
        claims = _claims(current, billing, now, expires_at, email=email)
        token = sign(claims, keys.private_key(key))
        Lease.objects.create(
            organisation=current,
            kid=key.kid,
            plan_version=billing.plan_version,
            subscription_state=billing.subscription_state,
            issued_at=now,
            expires_at=expires_at,
            issued_for=issued_for,
        )
        _prune(current)
    return SignedLease(token, expires_at)


def sign(claims: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    """The compact JWS. Its header is byte for byte what existing verifiers have seen, so no `kid`."""
    return jwt.encode(dict(claims), key, algorithm="EdDSA")


def _claims(
    organisation: Organisation,
    billing: BillingState,
    now: datetime,
    expires_at: datetime,
    *,
    email: str,
) -> dict[str, Any]:
    """Claims in the order and with the omissions of existing leases: what is empty is left out.

    The owner's address goes only to a runtime of the owner's own, which shows it; the relay has no
    use for it. `sub` is the organisation's UUID.
    """
    claims: dict[str, Any] = {
        "org_id": ORG_ID,
        "email": email,
        "instance_host": normalised(organisation.instance_host),
        "plan_version": billing.plan_version,
        "subscription_state": str(billing.subscription_state),
        "capabilities": sorted(billing.capabilities),
        "limits": billing.limits,
        "meters_enabled": sorted(billing.meters_enabled),
        "trial_started_at": _unix(billing.trial_started_at),
        "trial_ends_at": _unix(billing.trial_ends_at),
        "iss": ISSUER,
        "sub": str(organisation.pk),
        "aud": [AUDIENCE],
        "exp": _unix(expires_at),
        "iat": _unix(now),
    }
    required = {"org_id", "instance_host", "plan_version", "subscription_state"}
    return {name: value for name, value in claims.items() if value or name in required}


def _unix(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0


def _prune(organisation: Organisation) -> None:
    kept = organisation.leases.order_by("-issued_at", "-pk").values("pk")[:KEPT_ROWS]
    organisation.leases.exclude(pk__in=kept).delete()
