"""Jobs of this room: what is out of date in organisations' schemas."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from django.db import DatabaseError
from django.utils import timezone
from procrastinate.contrib.django import app

from rbac import changes, tokens
from tenants.models import Organisation, State
from tenants.schemas import SchemaError, in_schema

log = structlog.get_logger(__name__)

# An ended token stays this long in lists, so that people find out why something stopped working.
ENDED_TOKENS_KEPT: Final = timedelta(days=30)


@app.periodic(cron="41 3 * * *")
@app.task(name="rbac.tasks.forget_tokens", queueing_lock="forget_tokens")
def forget_tokens(timestamp: int) -> None:
    """Once a day: deletes tokens that were revoked or ran out a month ago."""
    before = timezone.now() - ENDED_TOKENS_KEPT
    gone = everywhere(lambda: tokens.forget(ended_before=before))
    if gone:
        log.info("ended tokens forgotten", count=gone)


@app.periodic(cron="11 3 * * *")
@app.task(name="rbac.tasks.forget_changes", queueing_lock="forget_changes")
def forget_changes(timestamp: int) -> None:
    """Once a day: the change log of roles is kept for 90 days (H10); the audit trail stays."""
    gone = everywhere(changes.prune)
    if gone:
        log.info("old changes of roles forgotten", count=gone)


def everywhere(work: Callable[[], int]) -> int:
    """Runs `work` in every organisation's schema and adds up what it returns; one that fails is
    logged and leaves the others alone.

    Suspended organisations and those scheduled for deletion are kept tidy as well: nothing here
    acts for them, and what is out of date must not grow old with them.
    """
    living = (State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION)
    total = 0
    for organisation in Organisation.objects.filter(state__in=living).order_by("pk").iterator():
        try:
            with in_schema(organisation):
                total += work()
        except (DatabaseError, SchemaError):
            log.exception("an organisation was not tidied", organisation=str(organisation.pk))
    return total
