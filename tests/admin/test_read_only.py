"""Nothing is changed past a verb: no form saves, no row is deleted, no list deletes (F05, F68)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, reverse

from audit import trail
from audit.actors import Actor
from tenants.models import Organisation
from tests.admin import staff
from tests.admin.staff import changelist
from tests.admin.test_pages_answer import LISTS, a_row_of_everything


@pytest.fixture
def rows(db: None, settings: Any, tmp_path: Any) -> Organisation:
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(tmp_path / "keys")
    return a_row_of_everything()


def address(model: str, what: str, pk: object = None) -> str:
    return reverse(f"admin:{model}_{what}", args=[pk] if pk is not None else [])


def first(model: str) -> Any:
    for registered, page in admin.site._registry.items():
        if f"{registered._meta.app_label}_{registered._meta.model_name}" == model:
            return page.get_queryset(None).first()  # type: ignore[arg-type]
    raise AssertionError(model)


def test_nothing_is_added(client: Client) -> None:
    for model in LISTS:
        if model != "tenants_invitation":
            assert client.get(address(model, "add")).status_code == 403, model
            assert client.post(address(model, "add"), {}).status_code == 403, model


def test_nothing_is_saved(client: Client, rows: Organisation) -> None:
    data = {"display_name": "x", "state": "deleted", "email": "x@example.test", "is_staff": "on"}
    for model in LISTS:
        row = first(model)
        before = type(row).objects.filter(pk=row.pk).values().get()
        assert client.post(address(model, "change", row.pk), data).status_code == 403, model
        after = type(row).objects.filter(pk=row.pk).values().get()
        assert after == before, model


@pytest.mark.covers("F05")
def test_nothing_is_deleted(client: Client, rows: Organisation) -> None:
    for model in LISTS:
        row = first(model)
        path = address(model, "delete", row.pk)
        assert client.post(path, {"post": "yes"}).status_code == 403, model
        data = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        client.post(changelist(model), data)
        assert type(row).objects.filter(pk=row.pk).exists(), model


def test_no_list_offers_to_delete(client: Client, rows: Organisation) -> None:
    for model in LISTS:
        page = client.get(changelist(model)).content.decode()
        assert "delete_selected" not in page, model
        assert 'name="_save"' not in page, model


def test_passwords_and_secrets_are_on_no_page(client: Client, rows: Organisation) -> None:
    from relay.models import Registration

    person = rows.memberships.get().user
    sealed = Registration.objects.get(organisation=rows).sealed_identity_key
    for model in LISTS:
        row = first(model)
        for path in (changelist(model), address(model, "change", row.pk)):
            text = client.get(path).content.decode()
            assert person.password not in text
            assert bytes(sealed).hex() not in text
            assert "sealed_" not in text
            assert "token_hash" not in text


def test_staff_without_permission_see_nothing(rows: Organisation) -> None:
    client = staff.signed_in(staff.staff_with("view_lease"))
    assert client.get(changelist("billing_lease")).status_code == 200
    for model in LISTS:
        if model != "billing_lease":
            assert client.get(changelist(model)).status_code == 403, model


def test_what_is_shown_in_passing_needs_the_same_permission(rows: Organisation) -> None:
    """The first page and an organisation's page repeat rows of other lists."""
    trail.record(action="told_to_few", actor=Actor.system("test"), organisation=rows.pk)
    organisation = address("tenants_organisation", "change", rows.pk)
    few = staff.signed_in(staff.staff_with("view_lease"))
    home = few.get(reverse("admin:index")).content.decode()
    assert "told_to_few" not in home and rows.label not in home
    some = staff.signed_in(staff.staff_with("view_organisation"))
    home = some.get(reverse("admin:index")).content.decode()
    assert "told_to_few" not in home and rows.label in home
    assert "told_to_few" not in some.get(f"{organisation}?tab=audit").content.decode()
    assert "/audit/event/" not in some.get(f"{organisation}?tab=timeline").content.decode()
    all_of_it = staff.signed_in(staff.staff_with("view_organisation", "view_event"))
    assert "told_to_few" in all_of_it.get(reverse("admin:index")).content.decode()
    assert "told_to_few" in all_of_it.get(f"{organisation}?tab=audit").content.decode()


@pytest.mark.covers("F68")
def test_a_list_answers_no_questions_about_what_it_does_not_show(rows: Organisation) -> None:
    """Django filters by any field that an address names: whoever may see a list could ask for the
    letters of a hash, one after the other."""
    client = staff.signed_in(staff.staff_with("view_user", "view_invitation", "view_ssoprovider"))
    for model, question in (
        ("tenants_user", "password__startswith=p"),
        ("tenants_user", "memberships__user__password__startswith=p"),
        ("tenants_invitation", "token_hash__startswith=a"),
        ("tenants_ssoprovider", "client_secret_sealed__isnull=1"),
    ):
        answer = client.get(f"{changelist(model)}?{question}")
        assert answer.status_code == 400, question
    assert client.get(f"{changelist('tenants_user')}?who=staff").status_code == 200


def test_viewers_have_no_verbs(rows: Organisation) -> None:
    client = staff.signed_in(
        staff.staff_with("view_organisation", "view_invitation", "view_procrastinatejob")
    )
    page = client.get(address("tenants_organisation", "change", rows.pk)).content.decode()
    assert "/suspend/" not in page
    suspend = address("tenants_organisation", "change", rows.pk).replace("/change/", "/suspend/")
    assert client.get(suspend).status_code == 403
    data = {"reason": "because", "confirmed": "yes"}
    assert client.post(suspend, data).status_code == 403
    chosen = {"action": "suspend_chosen", "_selected_action": [str(rows.pk)], **data}
    client.post(changelist("tenants_organisation"), chosen)
    rows.refresh_from_db()
    assert rows.state == "active"
    assert client.get(address("tenants_invitation", "add")).status_code == 403


def test_admin_is_not_on_organisations_hosts(client: Client, rows: Organisation) -> None:
    for path in ("/admin/", changelist("tenants_organisation")):
        answer = client.get(path, headers={"host": rows.instance_host})
        assert answer.status_code == 404
    with pytest.raises(NoReverseMatch):
        reverse("admin:index", urlconf="pulsecloud.urls_organisation")


def test_who_is_not_signed_in_is_sent_to_the_one_sign_in_page(db: None) -> None:
    client = Client(headers={"host": staff.HOST})
    answer = client.get(changelist("tenants_organisation"), follow=True)
    chain = [address for address, _ in answer.redirect_chain]
    assert chain[-1].startswith("/accounts/login/")
    assert "next=/admin/tenants/organisation/" in chain[-1]
    # The stock form, which knows no limits, takes nothing.
    assert client.post("/admin/login/", {"username": "a", "password": "b"}).status_code == 302


def test_customers_are_told_that_it_is_not_theirs(rows: Organisation) -> None:
    client = staff.signed_in(rows.memberships.get().user)
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "not a staff account" in answer.content.decode()
    assert "Overview" not in answer.content.decode()


@pytest.mark.parametrize("wanted", ["//evil.test/", "https://evil.test/admin/", "/\\evil.test"])
def test_signing_in_leads_to_these_pages_only(client: Client, wanted: str) -> None:
    answer = client.get("/admin/login/", {"next": wanted})
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/"
