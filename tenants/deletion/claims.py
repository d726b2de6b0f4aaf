"""One reaper at an organisation at a time, and a note of what went wrong.

An advisory lock keeps others out (`tenants.locks`); a claim is the conditional UPDATE of the
removal's row by which a reaper that lost its lock without knowing sees that another one took over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import faults, metrics
from tenants.deletion.outcomes import FAILED
from tenants.deletion.planning import removal_of
from tenants.models import Organisation, Removal, State
from tenants.states import TransitionRefused, locked

log = structlog.get_logger(__name__)

# After a failure: five minutes, doubled each time, six hours at most.
PAUSE: Final = timedelta(minutes=5)
LONGEST_PAUSE: Final = timedelta(hours=6)


class Busy(Exception):
    """Another reaper is at this organisation."""


class ReapFailed(Exception):
    """Something raised; it is noted on the removal, and tried again later. The text is for staff."""


class Superseded(Exception):
    """Another reaper has the claim, or the deletion was cancelled."""


@dataclass(frozen=True)
class Claim:
    """Which removal is ours; `at` is what its row says as long as it is."""

    removal: int
    at: datetime


def take(organisation: Organisation) -> Claim:
    """Raises Busy when somebody else was faster between our look and our UPDATE."""
    if Organisation.objects.filter(pk=organisation.pk, state=State.PURGING).exists():
        removal_of(organisation)
    found = Removal.objects.filter(organisation=organisation).values("pk", "claimed_at").first()
    if found is None:
        organisation.refresh_from_db()
        code = "already_deleted" if organisation.state == State.DELETED else "not_pending_deletion"
        raise TransitionRefused(code, f"No deletion of {organisation.label} is under way.")
    now = timezone.now()
    taken = Removal.objects.filter(pk=found["pk"], claimed_at=found["claimed_at"]).update(
        claimed_at=now, attempts=F("attempts") + 1
    )
    if not taken:
        raise Busy(f"{organisation.label} is being deleted by another process.")
    faults.point("reap.claimed")
    return Claim(found["pk"], now)


def held(organisation: Organisation, claim: Claim) -> tuple[Organisation, Removal]:
    """Both rows, locked, as long as the claim is ours. Raises Superseded."""
    current = locked(organisation)
    removal = (
        Removal.objects.select_for_update().filter(pk=claim.removal, claimed_at=claim.at).first()
    )
    if removal is None:
        raise Superseded
    removal.organisation = current
    return current, removal


@contextmanager
def noting_failure(organisation: Organisation, claim: Claim) -> Iterator[None]:
    """Frees the claim whatever happens, and notes why it did not work. A killed process frees
    nothing; its lock is gone all the same."""
    try:
        yield
    except Superseded:
        raise Busy(f"The deletion of {organisation.label} was cancelled or taken over.") from None
    except TransitionRefused:
        ours = Removal.objects.filter(pk=claim.removal, claimed_at=claim.at)
        ours.update(claimed_at=None, attempts=F("attempts") - 1)
        raise
    except Exception as error:
        _note_failure(organisation, claim, error)
        raise ReapFailed(_describe(error)) from error


def _note_failure(organisation: Organisation, claim: Claim, error: Exception) -> None:
    """On the removal only while the claim is ours: whoever took it over must not be held up by what
    befell us."""
    text = _describe(error)
    log.error("deletion failed", organisation=organisation.label, exc_info=error)
    with transaction.atomic():
        current = locked(organisation)
        ours = Removal.objects.select_for_update().filter(pk=claim.removal, claimed_at=claim.at)
        removal = ours.first()
        if removal is not None:
            pause = min(LONGEST_PAUSE, PAUSE * 2 ** min(removal.attempts - 1, 10))
            removal.claimed_at, removal.error = None, text
            removal.next_try_at = timezone.now() + pause
            removal.save(update_fields=["claimed_at", "error", "next_try_at"])
        trail.record(
            action="org_reaping_failed",
            actor=Actor.system("reaper"),
            organisation=current.pk,
            subject=current.label,
            success=False,
            reason=text,
        )
    metrics.reaped(FAILED)


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:1000]
