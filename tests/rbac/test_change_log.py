"""The change log forgets what is older than 90 days (H10), in every organisation by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from rbac import changes, tasks
from rbac.models import Change
from tenants.models import Organisation
from tenants.schemas import drop_schema, in_schema
from tests.factories import make_organisation
from tests.rbac.people import make_role


def aged(organisation: Organisation, role: str, days: float) -> None:
    make_role(organisation, role)
    with in_schema(organisation):
        Change.objects.filter(entity_id=role).update(at=timezone.now() - timedelta(days=days))


def left(organisation: Organisation) -> set[str]:
    with in_schema(organisation):
        return set(Change.objects.filter(entity_type="role").values_list("entity_id", flat=True))


@pytest.mark.django_db
@pytest.mark.covers("H10")
def test_is_pruned_after_ninety_days_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_BATCH", 2)
    one, two, suspended = make_organisation(), make_organisation(), make_organisation("suspended")
    broken = make_organisation()
    for number in range(5):
        aged(one, f"old-{number}", 90.5)
    aged(one, "young", 89.5)
    aged(two, "old", 400)
    with in_schema(suspended):
        Change.objects.update(at=timezone.now() - timedelta(days=100))
    Organisation.objects.filter(pk=broken.pk).update(state="purging")
    drop_schema(broken.schema_name)
    Organisation.objects.filter(pk=broken.pk).update(state="active")
    tasks.forget_changes(timestamp=0)
    assert left(one) == {"young"}
    assert left(two) == set()
    with in_schema(suspended):
        assert not Change.objects.exists()
