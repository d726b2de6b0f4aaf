"""The worker's job: seal what was recorded."""

from __future__ import annotations

import structlog
from django.db import connection
from procrastinate.contrib.django import app

from audit import keys, sealing

log = structlog.get_logger(__name__)


@app.periodic(cron="* * * * *")
@app.task(name="audit.tasks.seal", queueing_lock="audit-seal")
def seal(timestamp: int) -> None:
    """Every minute. A chain that must not be continued is an error in the log and a growing
    backlog (readiness, metrics, staff home), not a failed job a minute."""
    try:
        sealing.seal()
    except (sealing.SealingRefused, keys.KeyMissing) as refused:
        log.error("audit trail not sealed", reason=str(refused))
    with connection.cursor() as cursor:
        # Without this the queue's tables would be full of seals.
        cursor.execute(
            "DELETE FROM procrastinate_jobs WHERE task_name = %s AND status = 'succeeded'",
            [seal.name],
        )
