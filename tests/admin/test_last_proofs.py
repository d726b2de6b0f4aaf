"""Staff see what the last proof and the last drills said, each kind by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from pulsecloud import metrics
from pulsecloud.staff import last_proof
from tenants.models import ReadinessKind, ReadinessRecord
from tests.admin import staff
from tests.admin.staff import changelist, proof
from tests.metrics.scrape import parsed, value

pytestmark = pytest.mark.django_db
LIST = "tenants_readinessrecord"


@pytest.fixture(autouse=True)
def _none_before() -> None:
    ReadinessRecord.objects.all().delete()


def shown(client: Client, **query: str) -> str:
    answer = client.get(changelist(LIST), query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_nothing_was_tried_yet() -> None:
    text = shown(staff.signed_in(staff.superuser()))
    for command in ("manage.py prove", "manage.py drill lifecycle", "manage.py drill rbac"):
        assert command in text


def test_the_last_of_each_kind() -> None:
    proof(passed=False)
    proof(started_at=timezone.now())
    proof(kind=ReadinessKind.LIFECYCLE_DRILL, passed=False, blocking=["suspended once only: no"])
    client = staff.signed_in(staff.superuser())
    text = shown(client)
    assert "Last proof passed" in text
    assert "Last life-cycle drills blocked" in text and "suspended once only: no" in text
    assert "No RBAC drills yet" in text
    rows = client.get(changelist(LIST), {"kind": "drill_lifecycle"}).context["cl"].result_list
    assert [row.kind for row in rows] == [ReadinessKind.LIFECYCLE_DRILL]


def test_drills_are_no_proof() -> None:
    assert last_proof.last() is None
    proof(kind=ReadinessKind.RBAC_DRILL, started_at=timezone.now())
    assert last_proof.last() is None
    found = parsed(metrics.collect())
    assert not any(name == "pulse_hosted_proof_passed" for name, _ in found)
    assert value(found, "pulse_hosted_drill_passed", kind="rbac") == 1
    assert not any(dict(labels).get("kind") == "lifecycle" for _, labels in found)


def test_a_drill_says_something_for_a_week() -> None:
    drill = proof(
        kind=ReadinessKind.RBAC_DRILL, started_at=timezone.now() - timedelta(days=6, hours=23)
    )
    assert last_proof.is_fresh(drill)
    drill.started_at -= timedelta(hours=2)
    assert not last_proof.is_fresh(drill)
    assert not last_proof.is_fresh(proof(started_at=timezone.now() - timedelta(hours=25)))
