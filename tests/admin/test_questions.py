"""Filters and searches answer what their names ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from billing.models import BillingState
from relay.models import Registration, RelayStatus
from tenants import invitations
from tenants.models import Invitation, Organisation, Runtime, State
from tests.admin import staff
from tests.admin.staff import changelist
from tests.admin.test_pages_answer import job
from tests.factories import make_organisation

ACTOR = Actor.system("test")


def shown(client: Client, model: str, **query: str) -> set[Any]:
    """Keys of the rows that a list shows."""
    answer = client.get(changelist(model), query)
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


@pytest.mark.django_db
class TestOrganisations:
    def test_customers_of_today_unless_asked(self, client: Client) -> None:
        today = make_organisation()
        former = make_organisation("deleted")
        canary = make_organisation(label=f"canary-{timezone.now():%H%M%S%f}", canary=True)
        model = "tenants_organisation"
        assert shown(client, model) == {today.pk}
        assert shown(client, model, which="former") == {former.pk}
        assert shown(client, model, which="canaries") == {canary.pk}
        assert shown(client, model, which="customers") == {today.pk, former.pk}
        assert shown(client, model, which="all") == {today.pk, former.pk, canary.pk}
        assert shown(client, model, state__exact="deleted") == {former.pk}
        assert shown(client, model, q=former.label) == {former.pk}

    def test_can_phones_reach_it(self, client: Client) -> None:
        yes = staff.connected()
        silent, never, bare = staff.connected(), make_organisation(), make_organisation()
        external, suspended = staff.connected(), staff.connected("suspended")
        RelayStatus.objects.filter(organisation=silent).update(
            seen_at=timezone.now() - timedelta(minutes=1)
        )
        RelayStatus.objects.filter(organisation=never).delete()
        Registration.objects.filter(organisation=bare).delete()
        Organisation.objects.filter(pk=external.pk).update(runtime=Runtime.EXTERNAL)
        model = "tenants_organisation"
        assert shown(client, model, reachable="yes") == {yes.pk}
        assert shown(client, model, reachable="no") == {silent.pk, never.pk, bare.pk}
        assert shown(client, model, reachable="unregistered") == {bare.pk}
        assert shown(client, model, reachable="external") == {external.pk}
        assert suspended.pk in shown(client, model)

    def test_is_it_stuck(self, client: Client) -> None:
        failed, slow = make_organisation("failed"), make_organisation("provisioning")
        fresh, unproved = make_organisation("provisioning"), make_organisation("requested")
        long_ago = timezone.now() - timedelta(days=2)
        Organisation.objects.filter(pk__in=[slow.pk, unproved.pk]).update(
            changed_at=long_ago, created_at=long_ago
        )
        model = "tenants_organisation"
        assert shown(client, model, stuck="failed") == {failed.pk}
        assert shown(client, model, stuck="slow") == {slow.pk}
        assert shown(client, model, stuck="any") == {failed.pk, slow.pk}
        assert shown(client, model, stuck="unproved") == {unproved.pk}
        assert fresh.pk not in shown(client, model, stuck="any")

    def test_is_it_paid_for(self, client: Client) -> None:
        paid, grace, trial, over = (make_organisation() for _ in range(4))
        states = BillingState.objects
        states.filter(organisation=paid).update(subscription_state="active")
        states.filter(organisation=grace).update(subscription_state="grace")
        states.filter(organisation=over).update(trial_ends_at=timezone.now())
        for model in ("tenants_organisation", "billing_billingstate"):
            assert shown(client, model, paid="active") == {paid.pk}
            assert shown(client, model, paid="grace") == {grace.pk}
            assert shown(client, model, paid="trial") == {trial.pk}
            assert shown(client, model, paid="no") == {over.pk}
            assert shown(client, model, paid="ending") == set()
        states.filter(organisation=trial).update(trial_ends_at=timezone.now() + timedelta(days=1))
        assert shown(client, "tenants_organisation", paid="ending") == {trial.pk}

    def test_found_by_id_label_name_and_owner(self, client: Client) -> None:
        organisation, other = make_organisation(display_name="Näppärä Oy"), make_organisation()
        model = "tenants_organisation"
        for query in (
            str(organisation.pk),
            organisation.label,
            "näppärä",
            organisation.owner_email,
        ):
            assert shown(client, model, q=query) == {organisation.pk}
        assert other.pk not in shown(client, model, q="näppärä")


@pytest.mark.django_db
def test_invitations_that_can_be_used(client: Client) -> None:
    made = {
        name: invitations.invite(actor=ACTOR, note=name).invitation
        for name in ("open", "used", "expired", "revoked")
    }
    Invitation.objects.filter(pk=made["used"].pk).update(used=1)
    Invitation.objects.filter(pk=made["expired"].pk).update(expires_at=timezone.now())
    invitations.revoke(invitation=made["revoked"], actor=ACTOR)
    invitations.invite(actor=ACTOR, email="c@example.test", canary=True)
    model = "tenants_invitation"
    assert shown(client, model, open="yes") == {made["open"].pk}
    for answer in ("used", "expired", "revoked"):
        assert shown(client, model, open=answer) == {made[answer].pk}
    assert shown(client, model) == {each.pk for each in made.values()}
    assert len(shown(client, model, which="all")) == 5


@pytest.mark.django_db
def test_the_trail_is_found_by_organisation_action_and_person(client: Client) -> None:
    organisation = make_organisation()
    one = trail.record(action="thing.done", actor=Actor("person", "1", "a@example.test"),
                       organisation=organisation.pk)  # fmt: skip
    two = trail.record(action="other.done", actor=Actor("staff", "2", "b@example.test"))
    model = "audit_event"
    assert shown(client, model, q="thing.") == {one.pk}
    assert shown(client, model, q="B@example.test") == {two.pk}
    assert one.pk in shown(client, model, q=str(organisation.pk))
    assert one.pk in shown(client, model, q=organisation.label)
    assert two.pk not in shown(client, model, q=organisation.label)
    assert shown(client, model, q=str(two.uuid)) == {two.pk}
    assert two.pk in shown(client, model, who="staff")
    assert one.pk not in shown(client, model, who="staff")


@pytest.mark.django_db
def test_jobs_by_what_is_wrong_and_by_number(client: Client) -> None:
    failed, done, waiting = job("failed"), job("succeeded"), job("todo")
    model = "procrastinate_procrastinatejob"
    assert shown(client, model, wrong="failed") == {failed}
    assert waiting in shown(client, model, wrong="open")
    assert shown(client, model, q=str(done)) == {done}


@pytest.mark.django_db
class TestHome:
    def notices(self, client: Client) -> list[str]:
        return [notice.text for notice in client.get("/admin/").context["notices"]]

    def test_nothing_needs_attention(self, client: Client) -> None:
        staff.connected()
        staff.proof()
        assert self.notices(client) == []
        assert "Nothing needs attention" in client.get("/admin/").content.decode()

    def test_what_is_wrong_is_said_with_a_way_to_it(self, client: Client) -> None:
        bare, silent = staff.connected(), make_organisation()
        make_organisation("failed")
        Registration.objects.filter(organisation=bare).delete()
        RelayStatus.objects.filter(organisation=silent).delete()
        staff.proof(passed=False)
        job("failed")
        notices = client.get("/admin/").context["notices"]
        words = " ".join(notice.text for notice in notices)
        for said in ("without a relay registration", "not connected", "Provisioning failed",
                     "1 failed job", "last proof was blocked"):  # fmt: skip
            assert said in words
        for notice in notices:
            assert client.get(notice.address).status_code == 200

    def test_hosted_mode_off_is_said(self, client: Client, settings: Any) -> None:
        settings.HOSTED_MODE = False
        assert any("Hosted mode is off" in text for text in self.notices(client))

    def test_figures(self, client: Client) -> None:
        staff.connected()
        make_organisation(State.SUSPENDED)
        tiles = {tile.title: tile for tile in client.get("/admin/").context["tiles"]}
        assert tiles["Active organisations"].value == "1"
        assert tiles["Connected to the relay"].value == "1 of 1"
        assert tiles["Sign-ups today"].value == "2"
        assert tiles["Last proof"].value == "never"

    def test_its_links_lead_to_what_it_counted(self, client: Client) -> None:
        """Canaries are not in the figures."""
        make_organisation(canary=True, display_name="Yellow bird")
        make_organisation(State.FAILED, canary=True, display_name="Yellow bird")
        make_organisation(State.FAILED)
        home = client.get("/admin/").context
        links = [tile.address for tile in home["tiles"] if "organisation" in tile.address]
        links += [bar.address for bar in home["bars"]]
        links += [notice.address for notice in home["notices"] if "stuck" in notice.address]
        assert len(links) > 3
        for link in links:
            assert "Yellow bird" not in client.get(link).content.decode(), link

    def test_the_latest_say_since_when_they_are_what_they_are(self, client: Client) -> None:
        organisation = make_organisation()
        now = timezone.now()
        Organisation.objects.filter(pk=organisation.pk).update(
            created_at=now - timedelta(days=90),
            state=State.SUSPENDED,
            suspended_by="platform",
            suspend_reason="unpaid",
            suspended_at=now - timedelta(days=2),
        )
        page = client.get("/admin/").content.decode()
        latest = page.split('id="latest"')[1].split("</section>")[0]
        assert "2\xa0days ago" in latest and "months" not in latest
