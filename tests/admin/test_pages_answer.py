"""Every staff page answers, empty and full, and costs the same number of queries either way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit import sealing
from audit.actors import Actor
from billing import keys, leases
from pulsecloud.staff import organisation_tabs
from pulsecloud.staff.base import StaffAdmin
from rbac import models as tenant_tables
from tenants import invitations, lifecycle, mail
from tenants.deletion import receipts
from tenants.deletion.blast import blast_radius
from tenants.models import (
    Backup,
    BackupKind,
    BackupState,
    Organisation,
    ReadinessRecord,
    Removal,
    SsoIdentity,
    SsoProvider,
    StageChange,
    SuspendedBy,
)
from tenants.rollout import attestations
from tests.admin import staff
from tests.admin.staff import changelist
from tests.factories import add_member, make_organisation, make_user

ACTOR = Actor.system("test")
LISTS = [
    "audit_batch",
    "audit_event",
    "billing_billingstate",
    "billing_lease",
    "billing_signingkey",
    "procrastinate_procrastinatejob",
    "relay_registration",
    "tenants_deletionreceipt",
    "tenants_attestation",
    "tenants_backup",
    "tenants_invitation",
    "tenants_organisation",
    "tenants_outboxmail",
    "tenants_readinessrecord",
    "tenants_removal",
    "tenants_ssoidentity",
    "tenants_ssoprovider",
    "tenants_stagechange",
    "tenants_user",
]


def a_row_of_everything() -> Organisation:
    """One more row on every list."""
    organisation = staff.connected()
    staff.proof()
    invitations.invite(actor=ACTOR, email="somebody@example.test")
    mail.post(to="a@example.test", subject="Hello", body="http://localhost/x")
    keys.rotate(actor=ACTOR)
    job("failed")
    sealing.seal()
    of_a_deletion()
    StageChange.objects.create(from_stage="dev", to_stage="private_beta", reason="ready")
    attestations.attest(condition="ga_load", actor=ACTOR, reason="p95 0.2 s")
    provider = SsoProvider.objects.create(
        organisation=organisation, slug="work", name="Work", issuer="https://id.example.test"
    )
    SsoIdentity.objects.create(
        organisation=organisation,
        provider=provider,
        issuer=provider.issuer,
        subject=str(organisation.pk),
        user=make_user(),
    )
    a_backup(organisation)
    return organisation


def of_a_deletion() -> None:
    """That it was asked for, and the receipt as if it were done."""
    going = make_organisation()
    lifecycle.soft_delete(organisation=going, by=SuspendedBy.OWNER, actor=ACTOR)
    receipts.make(
        organisation=going,
        removal=Removal.objects.get(organisation=going),
        blast=blast_radius(going),
        copy=None,
        copies=0,
        copies_until=None,
    )


def job(status: str, task: str = "tenants.tasks.tidy") -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)"
            " VALUES ('default', %s, '{}', %s::procrastinate_job_status, 1) RETURNING id",
            [task, status],
        )
        number = int(cursor.fetchone()[0])
        cursor.execute(
            "INSERT INTO procrastinate_events (job_id, type, at) VALUES (%s, 'deferred', now())",
            [number],
        )
    return number


def a_backup(organisation: Organisation) -> Backup:
    return Backup.objects.create(
        organisation=organisation,
        kind=BackupKind.DAILY,
        state=BackupState.DONE,
        expires_at=timezone.now() + timedelta(days=30),
        bytes=183_422,
        rows=412,
    )


def queries(client: Client, path: str) -> int:
    """How many questions a page asks the database (not: SET, SAVEPOINT)."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return sum("SELECT" in query["sql"] for query in captured)


def test_these_are_all_pages_there_are() -> None:
    registered = {f"{m._meta.app_label}_{m._meta.model_name}" for m in admin.site._registry}
    assert registered == set(LISTS)
    assert all(isinstance(page, StaffAdmin) for page in admin.site._registry.values())


def test_tenant_tables_have_no_staff_page() -> None:
    tenant_models = {m for m in vars(tenant_tables).values() if hasattr(m, "_meta")}
    assert tenant_models
    assert not tenant_models & set(admin.site._registry)


def test_foreign_registrations_do_nothing() -> None:
    admin.site.register(Group, admin.ModelAdmin)
    assert not admin.site.is_registered(Group)


def test_lists_answer_when_empty(client: Client) -> None:
    for model in LISTS:
        assert client.get(changelist(model)).status_code == 200, model


def test_home_answers_when_there_is_nothing(client: Client) -> None:
    page = client.get(reverse("admin:index")).content.decode()
    assert "No organisation yet" in page
    assert "Run manage.py prove" in page


def test_query_count_does_not_grow_with_rows(client: Client, settings: Any, tmp_path: Any) -> None:
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(tmp_path / "keys")
    paths = [reverse("admin:index"), *map(changelist, LISTS)]
    for _ in range(2):
        a_row_of_everything()
    for path in paths:
        queries(client, path)  # fills what is cached per process
    few = {path: queries(client, path) for path in paths}
    for _ in range(3):
        a_row_of_everything()
    for path in paths:
        queries(client, path)
    assert {path: queries(client, path) for path in paths} == few
    assert max(few.values()) <= 16


def test_an_organisations_page_costs_the_same_with_more_on_it(client: Client) -> None:
    organisation = staff.connected()
    page = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    paths = [f"{page}?tab={tab}" for tab in organisation_tabs.TABS]

    def more() -> None:
        leases.issue(organisation, issued_for="runtime")
        add_member(organisation)
        a_backup(organisation)

    more()
    for path in paths:
        queries(client, path)  # django-tenants forgets content types at every switch of schemas
    few = {path: queries(client, path) for path in paths}
    for _ in range(3):
        more()
    for path in paths:
        queries(client, path)
    assert {path: queries(client, path) for path in paths} == few
    assert max(few.values()) <= 16


def test_every_row_has_a_page(client: Client, settings: Any, tmp_path: Any) -> None:
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(tmp_path / "keys")
    a_row_of_everything()
    for model, page in admin.site._registry.items():
        row = page.get_queryset(None).first()  # type: ignore[arg-type]
        assert row is not None, model
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        assert client.get(reverse(name, args=[row.pk])).status_code == 200, model


def test_big_lists_are_not_counted(client: Client) -> None:
    """Whatever is counted is counted behind a LIMIT."""
    a_row_of_everything()
    for model in LISTS:
        with CaptureQueriesContext(connection) as captured:
            client.get(changelist(model))
        counts = [q["sql"] for q in captured if q["sql"].startswith("SELECT COUNT(*)")]
        assert counts
        assert all("LIMIT" in sql for sql in counts), (model, counts)


def test_a_page_of_nobody_is_404_or_home(client: Client) -> None:
    address = reverse("admin:tenants_organisation_change", args=["no-uuid"])
    assert client.get(address).status_code in (302, 404)
    verb = address.replace("/change/", "/suspend/")
    assert client.get(verb).status_code == 404


def test_proof_banner_says_what_the_last_proof_said(client: Client) -> None:
    ReadinessRecord.objects.all().delete()
    assert (
        "Nobody has proved yet" in client.get(changelist("tenants_organisation")).content.decode()
    )
    staff.proof(passed=False)
    page = client.get(changelist("tenants_organisation")).content.decode()
    assert "was blocked" in page
    assert "not connected within 10 s" in page
