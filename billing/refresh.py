"""Lease renewal for external runtimes (hosted-contract section 15.3).

A refresh token is for a runtime that its owner runs. Whoever holds it may fetch the leases of one
organisation and nothing else. It is shown once; only its SHA-256 is stored (H13).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from billing import leases
from billing.hosts import normalised
from billing.models import RefreshToken
from tenants.models import Organisation, Runtime, State

PREFIX: Final = "etr_hosted_"
# Reversible states: the runtime must keep its token and try again (a 401 or 410 would make it
# forget the token for good, and lifting a suspension would not bring it back; F65).
WAITING: Final = (State.SUSPENDED, State.PENDING_DELETION)


class NotExternal(Exception):
    """Only an active organisation whose runtime is external gets a refresh token."""


class Unknown(Exception):
    """401: no such token, or not for this host or org id."""


class Gone(Exception):
    """410: revoked, or the organisation or its subscription ended, or the runtime is built in."""


class Later(Exception):
    """503: suspended or scheduled for deletion; may come back."""


def issue_refresh_token(organisation: Organisation, *, actor: Actor, reason: str = "") -> str:
    """Returns a new token, shown only now; an earlier one stops working. Raises NotExternal.

    The organisation must have been switched to an external runtime before, which stops the
    built-in one: one instance is never served by two runtimes.
    """
    token = PREFIX + secrets.token_hex(24)
    with transaction.atomic():
        current = _locked(organisation)
        if current.state != State.ACTIVE or current.runtime != Runtime.EXTERNAL:
            raise NotExternal(
                f"The organisation is {current.state} and its runtime is "
                f"{current.get_runtime_display()}; it must be active and external."
            )
        _revoke_all(current)
        RefreshToken.objects.create(organisation=current, token_hash=_hashed(token))
        _record("refresh_token_issued", current, actor, reason)
    return token


def revoke_refresh_tokens(organisation: Organisation, *, actor: Actor, reason: str = "") -> int:
    """No lease for external runtimes from now on; returns how many tokens died."""
    with transaction.atomic():
        current = _locked(organisation)
        revoked = _revoke_all(current)
        if revoked:
            _record("refresh_token_revoked", current, actor, reason)
    return revoked


def refresh(*, org_id: str, instance_host: str, token: str) -> leases.SignedLease:
    """A fresh lease for the runtime that holds `token`. Raises Unknown, Gone or Later.

    A host or org id that does not match answers like an unknown token, whatever became of the
    token: only its rightful holder learns that it was revoked.
    """
    row = (
        RefreshToken.objects.select_related("organisation")
        .filter(token_hash=_hashed(token))
        .first()
    )
    if row is None or org_id not in ("", leases.ORG_ID):
        raise Unknown
    organisation = row.organisation
    if normalised(instance_host) != normalised(organisation.instance_host):
        raise Unknown
    if row.revoked_at is not None or organisation.runtime != Runtime.EXTERNAL:
        raise Gone
    try:
        with transaction.atomic():
            lease = leases.issue(organisation, issued_for="refresh")
            RefreshToken.objects.filter(pk=row.pk).update(last_refreshed_at=timezone.now())
    except leases.LeaseRefused as refused:
        organisation.refresh_from_db(fields=["state"])
        if refused.code == "not_active" and organisation.state in WAITING:
            raise Later from refused
        raise Gone from refused
    return lease


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _locked(organisation: Organisation) -> Organisation:
    return Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)


def _revoke_all(organisation: Organisation) -> int:
    return organisation.refresh_tokens.filter(revoked_at=None).update(revoked_at=timezone.now())


def _record(action: str, organisation: Organisation, actor: Actor, reason: str) -> None:
    trail.record(
        action=action,
        actor=actor,
        organisation=organisation.pk,
        subject=str(organisation),
        reason=reason,
    )
