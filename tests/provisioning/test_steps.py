"""The job: every step once, in order, retried, and undone for good in the end."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from audit.actors import Actor
from audit.models import Event
from tenants import metrics, provisioning, schemas
from tenants.models import Membership, Organisation, State, StepStatus
from tenants.states import TransitionRefused
from tests.factories import make_organisation
from tests.provisioning import steps as broken
from tests.provisioning.looking import (
    STEPS,
    assert_complete,
    assert_undone,
    orphans,
    proved,
    rows_about,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.PROVISIONING_ATTEMPTS = 3
    settings.PROVISIONING_PAUSE = 0.001
    broken.FailingStep.calls = broken.FailingStep.times = broken.StubbornStep.undone = 0


def exhaust(organisation: Organisation) -> list[float]:
    """Runs attempts as the job queue would; returns the pauses between them."""
    pauses = []
    for _ in range(10):
        try:
            provisioning.run(organisation.pk)
        except provisioning.StepFailed as failed:
            pauses.append(failed.retry_in)
        else:
            return pauses
    raise AssertionError("provisioning does not end")


def provisions(status: str) -> float:
    value = metrics.registry.get_sample_value("pulse_hosted_provisions_total", {"status": status})
    return value or 0.0


def test_works() -> None:
    """All that a phone needs is there without a settings call, registration included."""
    organisation = proved()
    provisioning.run(organisation.pk)
    assert_complete(organisation)
    assert organisation.attempts == 1
    assert organisation.provisioned_at is not None


def test_repeating_the_job_changes_nothing() -> None:
    organisation = proved()
    provisioning.run(organisation.pk)
    before = rows_about(organisation)
    provisioning.run(organisation.pk)
    assert rows_about(organisation) == before
    assert_complete(organisation)
    assert organisation.attempts == 1


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_step_that_fails_once_is_tried_again_and_leaves_no_half_work(
    settings: Any, after: int
) -> None:
    settings.PROVISIONING_STEPS = broken.with_step("FailingStep", after=after)
    broken.FailingStep.times = 1
    organisation = proved()
    assert len(exhaust(organisation)) == 1
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE
    assert organisation.attempts == 2
    assert not organisation.domains.filter(domain__startswith="half.").exists()
    attempts = dict(organisation.steps.values_list("step", "attempt"))
    assert attempts == {name: 1 if STEPS.index(name) < after else 2 for name in STEPS} | {
        "failing": 2
    }


@pytest.mark.parametrize("after", range(6))
def test_after_the_last_attempt_everything_is_undone(settings: Any, after: int) -> None:
    bystander = make_organisation()
    settings.PROVISIONING_STEPS = broken.with_step("FailingStep", after=after)
    broken.FailingStep.times = 99
    of_bystander = rows_about(bystander)
    organisation = proved()
    before = rows_about(organisation)

    pauses = exhaust(organisation)

    assert pauses == [0.001, 0.002]
    assert_undone(organisation, before)
    assert "Broken: no luck today" in organisation.failure
    said = dict(organisation.steps.values_list("step", "status"))
    assert said.pop("failing") == StepStatus.FAILED
    assert set(said.values()) <= {StepStatus.UNDONE}
    assert len(said) == after
    assert rows_about(bystander) == of_bystander
    assert schemas.schema_exists(bystander.schema_name)
    assert Membership.objects.filter(organisation=organisation).count() == 1
    assert Event.objects.filter(
        organisation=organisation.pk, action="org_provisioning_failed"
    ).exists()


def test_a_failed_one_can_be_retried(settings: Any) -> None:
    settings.PROVISIONING_STEPS = broken.with_step("FailingStep", after=4)
    broken.FailingStep.times = 99
    organisation = proved()
    exhaust(organisation)
    settings.PROVISIONING_STEPS = broken.REAL
    provisioning.retry(organisation=organisation, actor=Actor.system("test"), reason="mended")
    provisioning.run(organisation.pk)
    assert_complete(organisation)
    with pytest.raises(TransitionRefused, match="failed"):
        provisioning.retry(organisation=organisation, actor=Actor.system("test"))


def test_an_undo_that_raises_is_taken_up_again(settings: Any) -> None:
    settings.PROVISIONING_STEPS = [
        *broken.with_step("StubbornStep", after=2)[:3],
        f"{broken.HERE}.FailingStep",
        *broken.REAL[2:],
    ]
    broken.FailingStep.times = 99
    organisation = proved()
    before = rows_about(organisation)
    pauses = exhaust(organisation)
    assert len(pauses) == 3
    assert_undone(organisation, before)


def test_every_attempt_is_counted(settings: Any, django_capture_on_commit_callbacks: Any) -> None:
    """H3: upstream counts no failure that the provisioner itself reports."""
    settings.PROVISIONING_STEPS = broken.with_step("FailingStep", after=2)
    broken.FailingStep.times = 2
    well, badly = provisions("success"), provisions("failure")
    with django_capture_on_commit_callbacks(execute=True):
        exhaust(proved())
    assert (provisions("success") - well, provisions("failure") - badly) == (1, 2)


def test_hosted_mode_off_provisions_nothing_and_on_again_resumes(settings: Any) -> None:
    organisation = proved()
    settings.HOSTED_MODE = False
    provisioning.run(organisation.pk)
    assert provisioning.sweep() == 0
    organisation.refresh_from_db()
    assert (organisation.state, organisation.attempts) == (State.PROVISIONING, 0)
    settings.HOSTED_MODE = True
    provisioning.run(organisation.pk)
    assert_complete(organisation)


def test_an_existing_schema_is_never_adopted() -> None:
    other, organisation = make_organisation(), proved()
    with pytest.raises(IntegrityError), transaction.atomic():
        Organisation.objects.filter(pk=organisation.pk).update(schema_name=other.schema_name)
    schemas.create_schema(organisation.schema_name)  # as if left by somebody else
    pauses = exhaust(organisation)
    organisation.refresh_from_db()
    assert len(pauses) == 2
    assert organisation.state == State.FAILED
    assert "SchemaExists" in organisation.failure
    assert schemas.schema_exists(organisation.schema_name)  # not ours, so not removed
    assert organisation.schema_name in orphans()


@pytest.mark.covers("F64")
def test_an_organisation_that_left_the_state_is_left_alone() -> None:
    """Purged between two steps: the next one does not run."""
    organisation = proved(canary=True)
    Organisation.objects.filter(pk=organisation.pk).update(state=State.FAILED)
    before = rows_about(organisation)
    provisioning.run(organisation.pk)
    assert rows_about(organisation) == before
