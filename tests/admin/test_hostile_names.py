"""Names, reasons and errors come from strangers: they are shown, never run (F68)."""

from __future__ import annotations

import json

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit import trail
from audit.actors import Actor
from tenants import lifecycle, mail
from tenants.models import Invitation, Organisation, StepRecord, SuspendedBy, User
from tests.admin import staff
from tests.admin.staff import HOSTILE, changelist
from tests.admin.test_pages_answer import LISTS
from tests.factories import make_organisation, make_user


@pytest.fixture
def hostile(db: None) -> Organisation:
    """Every text that a stranger can choose is an attack."""
    person = make_user(name=HOSTILE)
    organisation = make_organisation("active", display_name=HOSTILE[:64], owner=person)
    User.objects.filter(pk=person.pk).update(email='"><script>x</script>"@example.test')
    Organisation.objects.filter(pk=organisation.pk).update(
        failure=HOSTILE, owner_email='"><script>y</script>"@example.test'
    )
    StepRecord.objects.filter(organisation=organisation).update(error=HOSTILE)
    lifecycle.suspend(
        organisation=organisation,
        by=SuspendedBy.OWNER,
        actor=Actor("person", HOSTILE[:120], HOSTILE),
        reason=HOSTILE,
    )
    trail.record(
        action="hostile",
        actor=Actor("token", "x", HOSTILE),
        subject=HOSTILE,
        reason=HOSTILE,
        before={HOSTILE: HOSTILE},
        after={"name": [HOSTILE]},
        request_id=HOSTILE[:64],
    )
    mail.post(to="a@example.test", subject=HOSTILE, body=f"{HOSTILE} http://x.test/'\"><script>")
    Invitation.objects.create(token_hash="0" * 64, note=HOSTILE, expires_at=organisation.created_at)
    bad = {"name": "<script>z</script>", "shows": HOSTILE, "status": "failed", "seconds": 1,
           "evidence": {HOSTILE: [HOSTILE, {"x": HOSTILE}]}, "error": HOSTILE}  # fmt: skip
    staff.proof(passed=False, steps=[bad], blocking=[HOSTILE])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) "
            "VALUES (%s, %s, %s, 'failed')",
            [HOSTILE, HOSTILE, json.dumps({"x": HOSTILE})],
        )
    return organisation


def harmless(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, path
    page = answer.content.decode()
    for attack in ('<script>alert("x")', "<script>x", "<script>y", "<script>z", "<b title="):
        assert attack not in page, (path, attack)


@pytest.mark.parametrize("model", LISTS)
def test_lists_and_pages_escape(client: Client, hostile: Organisation, model: str) -> None:
    harmless(client, changelist(model))
    for registered, page in admin.site._registry.items():
        if f"{registered._meta.app_label}_{registered._meta.model_name}" != model:
            continue
        for row in page.get_queryset(None)[:20]:  # type: ignore[arg-type]
            harmless(client, reverse(f"admin:{model}_change", args=[row.pk]))


def test_home_and_confirmation_escape(client: Client, hostile: Organisation) -> None:
    harmless(client, reverse("admin:index"))
    change = reverse("admin:tenants_organisation_change", args=[hostile.pk])
    harmless(client, change.replace("/change/", "/lift/"))
    harmless(client, change.replace("/change/", "/suspend/"))


def test_messages_escape(client: Client, hostile: Organisation) -> None:
    change = reverse("admin:tenants_organisation_change", args=[hostile.pk])
    data = {"confirmed": "yes", "reason": HOSTILE}
    client.post(change.replace("/change/", "/lift/"), data)
    answer = client.get(change)
    assert "Active again" in answer.content.decode()
    assert '<script>alert("x")' not in answer.content.decode()


def test_hostile_searches_and_filters_answer(client: Client, hostile: Organisation) -> None:
    for model in LISTS:
        for query in (HOSTILE, "%", "\\", "' OR 1=1 --", "x" * 3000, "9" * 400):
            answer = client.get(changelist(model), {"q": query})
            assert answer.status_code in (200, 302), (model, query)
            assert '<script>alert("x")' not in answer.content.decode()
        nonsense = {"which": HOSTILE, "when": "never", "stuck": "x", "p": "999999"}
        assert client.get(changelist(model), nonsense).status_code in (200, 302), model
