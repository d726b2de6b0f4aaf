"""Gauges are read at the scrape: true at once, without canaries, without anybody's name."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from pulsecloud import metrics
from relay.models import Registration
from tenants import lifecycle
from tenants.models import Organisation, OutboxMail, ReadinessRecord, SuspendedBy
from tests.admin.staff import connected, proof
from tests.databases import looking_into
from tests.factories import make_organisation
from tests.metrics.scrape import Key, parsed, value

ACTOR = Actor.system("test")


@pytest.fixture(autouse=True)
def _directory(metrics_dir: Path) -> None:
    """Files of other tests' processes are not looked at."""


def scrape() -> dict[Key, float]:
    return parsed(metrics.collect())


@pytest.mark.django_db
def test_active_tenants_follow_the_state() -> None:
    before = value(scrape(), "pulse_hosted_active_tenants")
    organisation = make_organisation()
    assert value(scrape(), "pulse_hosted_active_tenants") == before + 1
    lifecycle.suspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    found = scrape()
    assert value(found, "pulse_hosted_active_tenants") == before
    assert value(found, "pulse_hosted_organisations", state="suspended") >= 1
    lifecycle.unsuspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    assert value(scrape(), "pulse_hosted_active_tenants") == before + 1


@pytest.mark.django_db
def test_canaries_are_left_out() -> None:
    before = scrape()
    make_organisation(label=f"canary-{timezone.now():%H%M%S%f}", canary=True)
    after = scrape()
    for name in ("pulse_hosted_active_tenants", "pulse_hosted_builtin_tenants"):
        assert value(after, name) == value(before, name)


@pytest.mark.django_db
@pytest.mark.covers("F77")
def test_an_active_organisation_without_registration_is_seen() -> None:
    organisation = make_organisation()
    assert value(scrape(), "pulse_hosted_active_without_registration") == 0
    Registration.objects.filter(organisation=organisation).delete()
    assert value(scrape(), "pulse_hosted_active_without_registration") == 1


@pytest.mark.django_db
def test_connected_means_said_so_lately() -> None:
    before = value(scrape(), "pulse_hosted_connected_tenants")
    organisation = connected()
    assert value(scrape(), "pulse_hosted_connected_tenants") == before + 1
    organisation.relay_status.__class__.objects.filter(organisation=organisation).update(
        seen_at=timezone.now() - timedelta(seconds=60)
    )
    assert value(scrape(), "pulse_hosted_connected_tenants") == before


@pytest.mark.django_db
def test_jobs_by_status_and_how_long_the_oldest_waits() -> None:
    before = scrape()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, scheduled_at)"
            " VALUES ('q', 't', '{}', 'todo', now() - interval '90 s'),"
            " ('q', 't', '{}', 'todo', now() + interval '1 h'), ('q', 't', '{}', 'failed', NULL)"
            " RETURNING id"
        )
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO procrastinate_events (job_id, type, at)"
            " SELECT unnest(%s), 'deferred', now() - interval '1 h'",
            [ids],
        )
    after = scrape()
    name = "pulse_hosted_jobs"
    assert value(after, name, status="todo") == value(before, name, status="todo") + 2
    assert value(after, name, status="failed") == value(before, name, status="failed") + 1
    assert 90 <= value(after, "pulse_hosted_job_wait_seconds") < 3600


@pytest.mark.django_db
def test_no_job_waits_no_time() -> None:
    assert value(scrape(), "pulse_hosted_job_wait_seconds") == 0


@pytest.mark.django_db
def test_mail_that_failed() -> None:
    OutboxMail.objects.create(recipient="a@example.test", subject="s", error="refused")
    OutboxMail.objects.create(recipient="b@example.test", subject="s")
    assert value(scrape(), "pulse_hosted_mail_failed") == 1


@pytest.mark.django_db
def test_how_long_mail_waits_that_is_still_to_be_sent() -> None:
    assert value(scrape(), "pulse_hosted_mail_wait_seconds") == 0
    now = timezone.now()
    for minutes, body, sent in ((20, "text", None), (60, "", None), (90, "text", now)):
        OutboxMail.objects.create(  # waiting; given up for good; sent
            recipient="a@example.test",
            subject="s",
            body=body,
            sent_at=sent,
            created_at=now - timedelta(minutes=minutes),
        )
    assert 1100 < value(scrape(), "pulse_hosted_mail_wait_seconds") < 1300


@pytest.mark.django_db
def test_a_worker_is_up_while_it_answers() -> None:
    assert value(scrape(), "pulse_hosted_worker_up") == 0
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '31 s')"
        )
        assert value(scrape(), "pulse_hosted_worker_up") == 0
        cursor.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())")
    assert value(scrape(), "pulse_hosted_worker_up") == 1


@pytest.mark.django_db
def test_proof_is_absent_until_there_was_one() -> None:
    ReadinessRecord.objects.all().delete()
    assert not any(name.startswith("pulse_hosted_proof") for name, _ in scrape())
    proof(passed=False)
    found = scrape()
    assert value(found, "pulse_hosted_proof_passed") == 0
    assert 170 < value(found, "pulse_hosted_proof_age_seconds") < 260
    proof(started_at=timezone.now())
    assert value(scrape(), "pulse_hosted_proof_passed") == 1


@pytest.mark.django_db
@pytest.mark.covers("F72")
def test_nothing_about_one_organisation_is_in_an_exposition() -> None:
    organisations = [connected(), make_organisation("suspended"), make_organisation("failed")]
    Organisation.objects.filter(pk=organisations[2].pk).update(failure="lease: refused")
    answer = Client(headers={"host": "localhost"}).get("/metrics")
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "pulse_hosted_active_tenants" in text
    for organisation in organisations:
        told = (
            organisation.pk,
            organisation.label,
            organisation.schema_name,
            organisation.owner_email,
            organisation.display_name,
        )
        assert not [secret for secret in told if str(secret) in text]
    uuid = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
    assert not re.search(uuid, text)
    allowed = {"state", "status", "from_status", "to_status", "outcome", "code"}
    assert {name for _, labels in parsed(answer.content) for name, _ in labels} <= allowed


def test_a_database_that_is_away_costs_the_gauges_only(live_db: None) -> None:
    with looking_into("no_such_database"):
        found = scrape()
    assert value(found, "pulse_hosted_database_up") == 0
    assert "pulse_hosted_active_tenants" not in {name for name, _ in found}
    assert value(scrape(), "pulse_hosted_database_up") == 1
