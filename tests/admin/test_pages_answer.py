"""Every staff page answers, empty and full, and costs the same number of queries either way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from pulsecloud.staff.base import StaffAdmin
from rbac import models as tenant_tables
from tests.admin import staff
from tests.admin.staff import changelist

LISTS = [
    "audit_event",
    "billing_billingstate",
    "billing_lease",
    "billing_signingkey",
    "procrastinate_procrastinatejob",
    "relay_registration",
    "tenants_invitation",
    "tenants_organisation",
    "tenants_outboxmail",
    "tenants_readinessrecord",
    "tenants_user",
]


def test_these_are_all_pages_there_are() -> None:
    registered = {f"{m._meta.app_label}_{m._meta.model_name}" for m in admin.site._registry}
    assert registered == set(LISTS)
    assert all(isinstance(page, StaffAdmin) for page in admin.site._registry.values())


def test_tenant_tables_have_no_staff_page() -> None:
    tenant_models = {m for m in vars(tenant_tables).values() if hasattr(m, "_meta")}
    assert tenant_models
    assert not tenant_models & set(admin.site._registry)


@pytest.mark.parametrize("model", LISTS)
def test_list_answers_when_empty(client: Client, model: str) -> None:
    assert client.get(changelist(model)).status_code == 200


def test_home_answers_when_there_is_nothing(client: Client) -> None:
    page = client.get(reverse("admin:index")).content.decode()
    assert "No organisation yet" in page
    assert "never" in page  # the last proof
