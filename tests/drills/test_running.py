"""How drills are run: one at a time, on time, told on the terminal, and gone afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone
from structlog.testing import capture_logs

from audit.actors import Actor
from pulsecloud import tasks
from pulsecloud.drills import standing
from pulsecloud.proof.canary import Canary, mailbox, prefix, remove_forgotten
from tenants import invitations
from tenants.models import Invitation, Organisation, ReadinessKind, ReadinessRecord, State
from tests.admin.staff import proof
from tests.drills.running import drill
from tests.product import Product
from tests.proof.test_prove import database, stopped

product_test = pytest.mark.xdist_group("product")


@product_test
def test_a_stopped_worker_ends_them_at_once(product: Product) -> None:
    """Without a canary there is nothing to try the later drills on."""
    with stopped(product.pids()["worker"]):
        code, record = drill(product, "rbac", patience=0.05)
    statuses = [step["status"] for step in record["steps"]]
    assert (code, statuses) == (1, ["failed", *["not run"] * 4])
    assert "no canary to try it on" in record["blocking"][0]


@product_test
def test_what_a_killed_run_left_is_removed_by_the_next(product: Product) -> None:
    member = product.signed_up()
    Organisation.objects.filter(pk=member.id).update(label="canary-drill-forgotten")
    code, record = drill(product, "rbac")
    assert code == 0, record["blocking"]
    assert member.organisation.state == State.DELETED


@product_test
def test_an_invitation_that_a_killed_run_left_is_removed_too(product: Product) -> None:
    def left() -> QuerySet[Invitation]:
        return Invitation.objects.filter(email=email)

    email = mailbox(f"{prefix('drill')}unused")
    invitations.invite(email=email, canary=True, actor=Actor.system("drill"))
    assert left().exists()
    assert remove_forgotten("prove") == []
    assert left().exists()  # that one's may be in use
    assert remove_forgotten("drill") == []
    assert not left().exists()


@product_test
def test_a_canary_that_got_another_label_is_removed(product: Product, settings: Any) -> None:
    """Its label is taken, and it never came so far as to be told its own."""
    settings.WEB_ADDR, settings.PUBLIC_URL = product.web, product.public_url
    first = Canary("drill", patience=3)
    first.sign_up()
    first.await_provisioned()
    first.purge()
    assert first.close() == []
    second = Canary("drill", label=first.label)
    second.sign_up()
    both = Organisation.objects.filter(canary=True, label__startswith=first.label)
    assert [each.label == first.label for each in both.order_by("created_at")] == [True, False]
    assert second.close() == []
    assert not both.exclude(state=State.DELETED).exists()


@product_test
def test_one_at_a_time(product: Product) -> None:
    with database() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [0x9C10_0002])
        done = product.manage("drill", "rbac", "--wait", "0", check=False)
    assert done.returncode == 2
    assert "Another one runs" in done.stderr


@product_test
def test_the_terminal_shows_each_drill(product: Product) -> None:
    done = product.manage("drill", "rbac", "--patience", "3")
    assert "✓ deleting removes the store of roles" in done.stdout
    assert "Passed in" in done.stdout


@product_test
def test_hosted_mode_off_cannot_be_drilled(product: Product) -> None:
    kept = product.environment.pop("PULSE_HOSTED_MODE")
    try:
        done = product.manage("drill", check=False)
    finally:
        product.environment["PULSE_HOSTED_MODE"] = kept
    assert done.returncode == 2
    assert "PULSE_HOSTED_MODE=true" in done.stderr


@pytest.mark.django_db
def test_due_once_a_day(settings: Any) -> None:
    settings.DRILLS_EVERY = 24 * 3600.0
    assert standing.due() == ["lifecycle", "rbac"]
    proof(kind=ReadinessKind.PROVE, started_at=timezone.now())
    proof(kind=ReadinessKind.LIFECYCLE_DRILL, started_at=timezone.now(), passed=False)
    proof(kind=ReadinessKind.RBAC_DRILL, started_at=timezone.now() - timedelta(hours=23))
    assert standing.due() == []
    assert standing.due(timezone.now() + timedelta(hours=1)) == ["rbac"]
    settings.DRILLS_EVERY = 0.0
    assert standing.due(timezone.now() + timedelta(days=400)) == []


@pytest.mark.django_db
def test_a_proof_is_due_four_times_a_day(settings: Any) -> None:
    settings.PROVE_EVERY = 6 * 3600.0
    assert standing.proof_due()
    proof(kind=ReadinessKind.LIFECYCLE_DRILL, started_at=timezone.now())
    assert standing.proof_due()
    proof(kind=ReadinessKind.PROVE, started_at=timezone.now() - timedelta(hours=5), passed=False)
    assert not standing.proof_due()
    assert standing.proof_due(timezone.now() + timedelta(hours=1))
    settings.PROVE_EVERY = 0.0
    assert not standing.proof_due(timezone.now() + timedelta(days=400))


@product_test
def test_the_worker_proves_when_it_is_due(product: Product, settings: Any) -> None:
    """What the worker does every hour, done here against the running product."""
    settings.HOSTED_MODE, settings.PROVE_EVERY = True, 6 * 3600.0
    settings.WEB_ADDR, settings.RELAY_ADDR = product.web, product.relay
    settings.PUBLIC_URL = product.public_url
    ReadinessRecord.objects.filter(kind=ReadinessKind.PROVE).delete()
    for _ in range(2):  # the second time it is fresh
        tasks.prove(timestamp=0)
    record = ReadinessRecord.objects.get(kind=ReadinessKind.PROVE)
    assert record.passed, record.blocking


@pytest.mark.django_db
def test_a_worker_that_would_wait_for_itself_does_not_say_that_nobody_can_sign_up(
    settings: Any,
) -> None:
    settings.HOSTED_MODE, settings.WORKER_CONCURRENCY = True, 1
    settings.PROVE_EVERY = settings.DRILLS_EVERY = 3600.0
    with capture_logs() as lines:
        tasks.prove(timestamp=0)
        tasks.drill(timestamp=0)
    assert not ReadinessRecord.objects.exists()
    assert [line["what"] for line in lines] == ["proof", "drills"]
    assert "PULSECLOUD_WORKER_CONCURRENCY" in lines[0]["remedy"]


@pytest.mark.django_db
def test_never_while_hosted_mode_is_off(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HOSTED_MODE = False
    settings.DRILLS_EVERY = 1.0
    asked: list[str] = []

    def due() -> list[str]:
        asked.append("asked")
        return []

    monkeypatch.setattr(standing, "due", due)
    tasks.drill(timestamp=0)
    assert asked == []


@product_test
def test_the_worker_runs_those_that_are_due(product: Product, settings: Any) -> None:
    """What the worker does every hour, done here against the running product."""
    settings.HOSTED_MODE, settings.DRILLS_EVERY = True, 24 * 3600.0
    settings.WEB_ADDR, settings.RELAY_ADDR = product.web, product.relay
    settings.PUBLIC_URL = product.public_url
    before = timezone.now()
    ReadinessRecord.objects.filter(kind__in=standing.NAMES.values()).delete()
    tasks.drill(timestamp=0)
    for name in standing.NAMES:
        record = standing.last(name)
        assert record is not None and record.started_at >= before
        assert record.passed, record.blocking
    assert standing.due() == []
