"""Jobs: organisations are backed up once a day, and backups whose time is over are removed.

They run in either mode: the hosted mode decides who gets in, not whether data is kept safe.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from procrastinate.contrib.django import app

from audit.actors import Actor
from tenants.backups import export_views, keeping, loading, making
from tenants.models import BackupKind

log = structlog.get_logger(__name__)

# A pass ends after this long and the next goes on: no job may keep a worker's thread for itself.
PASS_SECONDS: Final = 60.0


@app.periodic(cron="*/5 * * * *")
@app.task(name="tenants.backups.tasks.back_up_due", queueing_lock="back_up_due")
def back_up_due(timestamp: int) -> None:
    """Every 5 min: backs up those whose newest backup is older than PULSECLOUD_BACKUP_EVERY."""
    begun, made, failed = time.monotonic(), 0, 0
    for organisation in keeping.due().iterator(chunk_size=100):
        try:
            making.back_up(
                organisation=organisation,
                kind=BackupKind.DAILY,
                actor=Actor.system("daily backup"),
            )
            made += 1
        except making.BackupFailed:
            failed += 1  # said and counted where it arose; tried again in an hour
        if time.monotonic() - begun > PASS_SECONDS:
            break
    if made or failed:
        log.info("organisations backed up", count=made, failed=failed)


@app.periodic(cron="23 * * * *")
@app.task(name="tenants.backups.tasks.expire_backups", queueing_lock="expire_backups")
def expire_backups(timestamp: int) -> None:
    """Every hour: removes what is out of date, and what killed processes left behind."""
    gone, left, schemas = keeping.expire(), keeping.tidy(), loading.drop_leftovers()
    export_views.forget_abandoned()
    if gone or left or schemas:
        log.info("backups removed", expired=gone, left_behind=left, schemas=schemas)
