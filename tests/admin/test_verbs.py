"""Verbs: a page that says what will happen, then the verb of the room, then what became of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import Event
from pulsecloud.staff import organisation_verbs
from pulsecloud.staff.verbs import VerbRefused
from tenants import lifecycle
from tenants.models import Invitation, Organisation, OutboxMail, State, SuspendedBy, User
from tests.admin import staff
from tests.admin.staff import changelist
from tests.admin.test_pages_answer import ACTOR, job
from tests.factories import make_organisation

ORGANISATIONS = "tenants_organisation"


def verb(organisation: Any, name: str, model: str = ORGANISATIONS) -> str:
    address = reverse(f"admin:{model}_change", args=[organisation.pk])
    return address.replace("/change/", f"/{name}/")


def text(answer: Any) -> str:
    return str(answer.content.decode())


@pytest.fixture
def organisation(db: None) -> Organisation:
    return make_organisation()


@pytest.mark.parametrize("name", [each.name for each in organisation_verbs.ALL])
def test_a_foreign_page_and_a_link_do_nothing(
    superuser: User, organisation: Organisation, name: str
) -> None:
    """A POST without a CSRF token is refused, and a GET only asks, whatever it carries."""
    careful = Client(enforce_csrf_checks=True, headers={"host": staff.HOST})
    careful.cookies = staff.signed_in(superuser).cookies
    data = {"confirmed": "yes", "reason": "x", "retention_days": "1"}
    before = Event.objects.count()
    assert careful.get(verb(organisation, name), data).status_code == 200
    assert careful.post(verb(organisation, name), data).status_code == 403
    assert Event.objects.count() == before
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE


class TestTakeOver:
    def test_the_owner_cannot_lift_it_any_more(
        self, client: Client, organisation: Organisation
    ) -> None:
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        assert "only staff can lift it" in text(client.get(verb(organisation, "take_over")))
        data = {"confirmed": "yes", "reason": "abuse report", "seen": State.SUSPENDED}
        answer = client.post(verb(organisation, "take_over"), data, follow=True)
        assert "Suspended by the platform" in text(answer)
        organisation.refresh_from_db()
        assert organisation.suspended_by == SuspendedBy.PLATFORM
        timeline = client.get(changelist(ORGANISATIONS) + f"{organisation.pk}/change/?tab=timeline")
        assert "Suspension taken over by the platform" in text(timeline)

    def test_there_is_no_button_where_there_is_nothing_to_take(
        self, client: Client, organisation: Organisation
    ) -> None:
        for by in (None, SuspendedBy.PLATFORM):
            if by:
                lifecycle.suspend(organisation=organisation, by=by, actor=ACTOR)
            page = text(client.get(changelist(ORGANISATIONS) + f"{organisation.pk}/change/"))
            assert "Take over suspension" not in page
            assert "Nothing to do" in text(client.get(verb(organisation, "take_over")))


class TestSuspend:
    def test_asks_first(self, client: Client, organisation: Organisation) -> None:
        page = text(client.get(verb(organisation, "suspend")))
        assert "They stay paired" in page
        assert "Only staff can lift it" in page
        organisation.refresh_from_db()
        assert organisation.state == State.ACTIVE

    def test_needs_a_reason(self, client: Client, organisation: Organisation) -> None:
        page = client.post(verb(organisation, "suspend"), {"confirmed": "yes", "reason": " "})
        assert "This field is required" in text(page)
        organisation.refresh_from_db()
        assert organisation.state == State.ACTIVE

    def test_works(self, client: Client, superuser: User, organisation: Organisation) -> None:
        data = {"confirmed": "yes", "reason": "unpaid"}
        answer = client.post(verb(organisation, "suspend"), data, follow=True)
        assert "Suspended: " in text(answer)
        organisation.refresh_from_db()
        assert (organisation.state, organisation.suspended_by) == ("suspended", "platform")
        event = Event.objects.get(action="org_suspended", organisation=organisation.pk)
        assert (event.actor_kind, event.actor_id, event.reason) == (
            "staff",
            str(superuser.pk),
            "unpaid",
        )

    def test_a_get_never_does_it(self, client: Client, organisation: Organisation) -> None:
        client.get(verb(organisation, "suspend"), {"confirmed": "yes", "reason": "x"})
        organisation.refresh_from_db()
        assert organisation.state == State.ACTIVE

    def test_does_not_apply_twice(self, client: Client, organisation: Organisation) -> None:
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
        page = text(client.get(verb(organisation, "suspend")))
        assert "Nothing to do" in page
        assert "is suspended" in page

    def test_somebody_else_was_faster(self, client: Client, organisation: Organisation) -> None:
        """Between the page that asked and its answer."""
        client.get(verb(organisation, "suspend"))
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        data = {"confirmed": "yes", "reason": "unpaid"}
        assert "Nothing to do" in text(client.post(verb(organisation, "suspend"), data))
        organisation.refresh_from_db()
        assert organisation.suspended_by == SuspendedBy.OWNER

    def test_a_refusal_of_the_verb_is_told_in_words(self, organisation: Organisation) -> None:
        stale = Organisation.objects.get(pk=organisation.pk)
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        with pytest.raises(VerbRefused, match="suspended already"):
            organisation_verbs.SUSPEND.run(stale, ACTOR, "unpaid")

    def test_the_page_that_asks_names_what_it_is_about(
        self, client: Client, organisation: Organisation
    ) -> None:
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
        page = text(client.get(verb(organisation, "lift")))
        assert f"<h2>Lift suspension: {organisation}?</h2>" in page

    def test_chosen_rows_at_once(self, client: Client, organisation: Organisation) -> None:
        other, failed = make_organisation(), make_organisation("failed")
        chosen = [str(each.pk) for each in (organisation, other, failed)]
        data = {"action": "suspend_chosen", "_selected_action": chosen}
        page = text(client.post(changelist(ORGANISATIONS), data))
        assert "Suspend: 2 organisations?" in page
        assert f"{failed} is failed" in page.replace("&#x27;", "'")
        answer = client.post(
            changelist(ORGANISATIONS), data | {"confirmed": "yes", "reason": "abuse"}, follow=True
        )
        assert str(organisation) in text(answer)
        states = Organisation.objects.filter(pk__in=chosen).values_list("state", flat=True)
        assert sorted(states) == ["failed", "suspended", "suspended"]

    def test_only_what_applies_is_offered(self, client: Client, organisation: Organisation) -> None:
        def offered() -> set[str]:
            page = text(
                client.get(reverse(f"admin:{ORGANISATIONS}_change", args=[organisation.pk]))
            )
            names = ("suspend", "lift", "soft_delete", "restore", "provision")
            return {name for name in names if f"/{name}/" in page}

        assert offered() == {"suspend", "soft_delete"}
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        assert offered() == {"lift", "soft_delete"}
        lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
        assert offered() == {"restore"}


def test_staff_lift_what_the_owner_suspended(client: Client, organisation: Organisation) -> None:
    lifecycle.suspend(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    assert "also lifts" in text(client.get(verb(organisation, "lift")))
    client.post(verb(organisation, "lift"), {"confirmed": "yes", "reason": ""})
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE


def test_a_failed_organisation_is_provisioned_again(client: Client) -> None:
    organisation = make_organisation("failed")
    answer = client.post(verb(organisation, "provision"), {"confirmed": "yes"}, follow=True)
    assert "Will be provisioned" in text(answer)
    organisation.refresh_from_db()
    assert organisation.state == State.PROVISIONING
    jobs = text(client.get(changelist("procrastinate_procrastinatejob")))
    assert str(organisation.pk) in jobs


def test_an_account_is_closed_and_opened_again(client: Client, organisation: Organisation) -> None:
    person = organisation.memberships.get().user
    page = reverse("admin:tenants_user_change", args=[person.pk])
    assert "/close_account/" in text(client.get(page))
    data = {"confirmed": "yes", "reason": "stolen"}
    answer = client.post(verb(person, "close_account", "tenants_user"), data, follow=True)
    assert "Closed: " in text(answer)
    person.refresh_from_db()
    assert not person.is_active
    assert "/reopen_account/" in text(client.get(page))
    client.post(verb(person, "reopen_account", "tenants_user"), data)
    person.refresh_from_db()
    assert person.is_active


def test_colleagues_are_not_closed(client: Client, superuser: User) -> None:
    page = text(client.get(verb(superuser, "close_account", "tenants_user")))
    assert "looked after on the command line" in page


class TestInvite:
    address = "/admin/tenants/invitation/add/"

    def test_shows_the_link_once(self, client: Client, superuser: User) -> None:
        answer = client.post(self.address, {"seats": 3, "days": 7, "note": "fair"})
        invitation = Invitation.objects.get(note="fair")
        page = text(answer)
        assert "/signup?invitation=inv_" in page
        assert (invitation.seats, invitation.created_by) == (3, superuser)
        token = page.split("invitation=")[1].split("<")[0]
        for path in (
            changelist("tenants_invitation"),
            reverse("admin:tenants_invitation_change", args=[invitation.pk]),
            changelist("audit_event"),
        ):
            assert token not in text(client.get(path))
        assert "no-store" in answer["Cache-Control"]

    def test_the_link_works(self, client: Client, settings: Any) -> None:
        settings.HOSTED_MODE = True
        page = text(client.post(self.address, {"seats": 1, "days": 7}))
        link = page.split("staff-once")[1].split(">")[1].split("<")[0]
        path = link.split("localhost", 1)[1].partition("/")[2]
        signup = Client(headers={"host": staff.HOST}).get(f"/{path}")
        assert signup.status_code == 200

    def test_mails_it_and_shows_nothing(self, client: Client) -> None:
        data = {"email": "ceo@example.test", "send": "on", "seats": 1, "days": 7}
        answer = client.post(self.address, data, follow=True)
        assert "on its way to ceo@example.test" in text(answer)
        assert "inv_" not in text(answer)
        assert "inv_" in OutboxMail.objects.get(recipient="ceo@example.test").body

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            ({"send": "on", "seats": 1, "days": 7}, "An address is needed"),
            ({"send": "on", "email": "a@b.test", "seats": 2, "days": 7}, "has one seat"),
            ({"email": "nonsense", "seats": 1, "days": 7}, "valid email"),
            ({"seats": 0, "days": 7}, "greater than or equal to 1"),
            ({"seats": 1, "days": 1000}, "less than or equal to 365"),
            ({}, "This field is required"),
        ],
    )
    def test_says_what_is_wrong(self, client: Client, data: dict[str, Any], says: str) -> None:
        answer = client.post(self.address, data)
        assert answer.status_code == 200
        assert says in text(answer)
        assert not Invitation.objects.filter(canary=False).exists()

    def test_without_a_public_address_it_says_so(self, client: Client, settings: Any) -> None:
        settings.PUBLIC_URL = ""
        answer = client.post(self.address, {"seats": 1, "days": 7})
        assert answer.status_code == 200
        assert not Invitation.objects.filter(canary=False).exists()

    def test_is_revoked(self, client: Client) -> None:
        client.post(self.address, {"seats": 1, "days": 7, "note": "oops"})
        invitation = Invitation.objects.get(note="oops")
        path = verb(invitation, "revoke", "tenants_invitation")
        assert "stops working" in text(client.get(path))
        client.post(path, {"confirmed": "yes"})
        invitation.refresh_from_db()
        assert invitation.revoked_at is not None
        assert Event.objects.filter(action="invitation_revoked").exists()


def test_a_failed_job_runs_again(client: Client) -> None:
    from procrastinate.contrib.django.models import ProcrastinateJob

    number = job("failed")
    failed = ProcrastinateJob.objects.get(pk=number)
    answer = client.post(
        verb(failed, "again", "procrastinate_procrastinatejob"), {"confirmed": "yes"}, follow=True
    )
    assert "Queued again" in text(answer)
    assert ProcrastinateJob.objects.get(pk=number).status == "todo"
    assert Event.objects.filter(action="job_run_again").exists()


def test_a_job_that_did_not_fail_is_left_alone(client: Client) -> None:
    from procrastinate.contrib.django.models import ProcrastinateJob

    done = ProcrastinateJob.objects.get(pk=job("succeeded"))
    page = text(client.get(verb(done, "again", "procrastinate_procrastinatejob")))
    assert "Nothing to do" in page
