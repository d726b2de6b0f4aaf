"""The worker delivers, tries again, and its log keeps what a mail says to itself."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from pathlib import Path

from django.db import connection
from django.test import override_settings

from pulsecloud.processes import die_with_parent
from tenants import mail
from tests import databases
from tests.accounts.postbox import open_postbox
from tests.databases import looking_into
from tests.product import ROOT
from tests.waiting import until


def test_a_mail_that_was_refused_for_now_arrives_and_is_forgotten(
    database_name: str, live_db: None, tmp_path: Path
) -> None:
    name = databases.create(f"{database_name.rpartition('_')[2]}_mail")
    secret = secrets.token_urlsafe(32)
    log = tmp_path / "worker.log"
    try:
        with looking_into(name), open_postbox() as box, log.open("wb") as sink:
            box.refusals = ["451 not now"]
            with override_settings(EMAIL_URL=box.url):
                row = mail.post(to="ann@example.test", subject="Hello", body=f"See {secret}\n")
            worker = subprocess.Popen(
                [sys.executable, "manage.py", "worker"],
                cwd=ROOT,
                env={**databases.environment(name), "EMAIL_URL": box.url},
                stdout=sink,
                stderr=sink,
                preexec_fn=die_with_parent(),
            )
            try:
                until(lambda: box.received, 40, what="the mail arrives")
                until(lambda: type(row).objects.get(pk=row.pk).sent_at, 10)
            finally:
                worker.terminate()
                worker.wait(20)
            assert worker.returncode == 0
            assert len(box.received) == 1
            assert secret in box.received[0][1].get_content()
            row.refresh_from_db()
            assert (row.body, row.error) == ("", "")
            said = log.read_text()
            assert re.search(r"mail not delivered.*ann@example\.test", said)
            assert re.search(r"mail delivered.*ann@example\.test", said)
            assert secret not in said
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM procrastinate_jobs WHERE args::text ~ %s", [secret]
                )
                assert cursor.fetchone() == (0,)
    finally:
        connection.close()
        databases.drop(name)
