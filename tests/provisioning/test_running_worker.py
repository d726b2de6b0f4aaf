"""The worker of a running product: quick when idle, and no kill -9 leaves anything half done."""

from __future__ import annotations

import random
import time

from django.db import connection

from tenants.models import StepStatus
from tests import databases
from tests.databases import looking_into
from tests.product import Member, Product, running_product
from tests.provisioning.looking import STEPS, orphans, schemas
from tests.waiting import until


def complete(member: Member) -> None:
    organisation = member.organisation
    assert organisation.state == "active", organisation.failure
    records = organisation.steps.order_by("position")
    assert [(r.step, r.status) for r in records] == [(name, StepStatus.DONE) for name in STEPS]
    assert organisation.leases.filter(issued_for="provisioning").count() == 1


def settled(product: Product, member: Member, seconds: float) -> None:
    until(lambda: product.state(member) == "active", seconds, what=f"{member.label} is active")


def jobs_left() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM procrastinate_jobs"
            " WHERE task_name = 'tenants.tasks.provision' AND status IN ('todo', 'doing')"
        )
        return int(cursor.fetchone()[0])


def test_a_proved_mailbox_is_provisioned_without_waiting_for_a_poll(product: Product) -> None:
    """What passes beside the steps' own work is the job's way to the worker. On an idle machine it
    takes some 10 ms (`make bench` measures); the bound leaves room for other tests."""
    beside = []
    for _ in range(6):
        member = product.sign_up()
        settled(product, member, 20)
        complete(member)
        organisation = member.organisation
        assert organisation.provisioned_at is not None
        assert organisation.mailbox_proved_at is not None
        took = (organisation.provisioned_at - organisation.mailbox_proved_at).total_seconds()
        beside.append(took - sum(step.seconds for step in organisation.steps.all()))
    assert sorted(beside)[2] < 1.0, beside


def test_a_worker_killed_at_random_moments_loses_nothing(product: Product) -> None:
    """Four kills, spaced so that the supervisor does not give up."""
    moments = random.Random(4)
    members: list[Member] = []
    for round_ in range(4):
        members += [product.sign_up(f"Killed {round_}.{n}") for n in range(3)]
        time.sleep(moments.uniform(0.0, 0.06))
        product.kill_and_wait("worker")
    for member in members:
        settled(product, member, 40)
        complete(member)
    until(lambda: jobs_left() == 0, 15)
    assert orphans() == set()


def test_a_worker_that_dies_at_one_step_every_time_ends_in_a_clean_failure(
    database_name: str, live_db: None
) -> None:
    """The job is not tried for ever: the supervisor would give up on a worker that keeps dying."""
    name = databases.create(f"{database_name.rpartition('_')[2]}_fault")
    try:
        with (
            looking_into(name),
            running_product(
                database=name,
                without=("relay", "runtime"),
                PULSECLOUD_FAULT="provision.roles.before_commit",
                PULSECLOUD_PROVISIONING_ATTEMPTS="2",
            ) as product,
        ):
            member = product.sign_up()
            until(lambda: member.organisation.state == "failed", 40)
            assert "died" in member.organisation.failure
            assert member.organisation.schema_name not in schemas()
            assert orphans() == set()
    finally:
        connection.close()
        databases.drop(name)
