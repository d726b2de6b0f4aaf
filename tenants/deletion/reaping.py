"""One round of the reaper, as the worker and `manage.py reaper` run it."""

from __future__ import annotations

from typing import Final

import structlog
from django.conf import settings

from audit.actors import Actor
from tenants.deletion import notices, outcomes, planning, reaper

log = structlog.get_logger(__name__)

RESULTS: Final = (outcomes.DELETED, outcomes.FAILED, outcomes.DRY_RUN)


def once(*, actor: Actor = reaper.ACTOR) -> list[outcomes.Reaped]:
    """Posts the notices that are due, then deletes what is due, as far as PULSECLOUD_REAPER lets it;
    nothing at all while hosted mode is off."""
    if not settings.HOSTED_MODE:
        return []
    posted = notices.send_due()
    done = _reaped(actor)
    if posted or done:
        counts = {action: sum(each.action == action for each in done) for action in RESULTS}
        log.info("reaper", mode=settings.REAPER, notices=posted, **counts)
    return done


def _reaped(actor: Actor) -> list[outcomes.Reaped]:
    if settings.REAPER == "on":
        return reaper.sweep(actor=actor)
    if settings.REAPER == "dry-run":
        return [reaper.dry_run(removal) for removal in planning.due()]
    return []
