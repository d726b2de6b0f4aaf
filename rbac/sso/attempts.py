"""Sign-ins on their way to a provider and back (hosted-contract section 11.2).

A state is good once, for ten minutes, and in the browser that it was given to: who lures a victim
to a callback of their own signs nobody in (login CSRF). Of the state and of the browser's cookie
only hashes are stored; nonce and PKCE verifier are sealed.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from rbac.sso.refusals import SsoRefused
from tenants import links, locks, sealing
from tenants.models import SsoAttempt, SsoProvider

OUTSTANDING: Final = 1024  # per organisation; one more, and the oldest is given up
_LONGEST: Final = 128


@dataclass(frozen=True)
class Opened:
    """What goes to the provider: state and nonce in clear, of the verifier only its hash."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Taken:
    """An attempt that came back. With `test_by` it only shows that person what was claimed; with
    `prove_again` the person must have proved themselves just now."""

    provider: SsoProvider
    nonce: str
    verifier: str
    test_by: UUID | None
    prove_again: bool


def open_for(
    provider: SsoProvider, *, browser: str, test_by: UUID | None = None, prove_again: bool = False
) -> Opened:
    """A new attempt of the browser that holds the cookie value `browser`."""
    opened = Opened(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
    )
    kept = {"nonce": opened.nonce, "verifier": opened.verifier, "prove_again": prove_again}
    secret = json.dumps(kept).encode()
    organisation = provider.organisation_id
    now = timezone.now()
    with transaction.atomic():
        locks.wait(f"sso-attempts:{organisation}")
        mine = SsoAttempt.objects.filter(provider__organisation=organisation)
        mine.filter(expires_at__lte=now).delete()
        surplus = mine.order_by("-created_at", "-pk").values("pk")[OUTSTANDING - 1 :]
        SsoAttempt.objects.filter(pk__in=list(surplus.values_list("pk", flat=True))).delete()
        SsoAttempt.objects.create(
            state_hash=links.digest(opened.state),
            browser_hash=links.digest(browser),
            provider=provider,
            sealed=sealing.seal(secret, context=str(organisation)),
            test_by=test_by,
            expires_at=now + timedelta(seconds=settings.SSO_ATTEMPT_LIFE),
        )
    return opened


def take(state: str, *, browser: str, organisation: UUID) -> Taken:
    """Uses the attempt up; of any number of callers exactly one gets it.

    Raises SsoRefused `invalid_state` for an unknown, used or expired one, and for another browser's
    or organisation's, which stays usable where it belongs.
    """
    if not browser or len(state) > _LONGEST or len(browser) > _LONGEST:
        raise SsoRefused("invalid_state")
    now = timezone.now()
    waiting = SsoAttempt.objects.filter(
        state_hash=links.digest(state),
        browser_hash=links.digest(browser),
        provider__organisation=organisation,
        used_at=None,
        expires_at__gt=now,
    )
    if waiting.update(used_at=now) != 1:
        raise SsoRefused("invalid_state")
    attempt = SsoAttempt.objects.select_related("provider").get(state_hash=links.digest(state))
    secret = json.loads(sealing.open_sealed(attempt.sealed, context=str(organisation)))
    return Taken(
        provider=attempt.provider,
        nonce=secret["nonce"],
        verifier=secret["verifier"],
        test_by=attempt.test_by,
        prove_again=secret.get("prove_again", False),
    )
