"""The rollout page: what is missing, and buttons that ask before they do anything."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import Event
from pulsecloud.staff.rollout import ask_address
from pulsecloud.staff.rollout_acts import ACTS
from tenants.models import Attestation, Rollout, Stage, StageChange, User
from tenants.rollout import signups, stages
from tests.admin import staff
from tests.factories import make_organisation
from tests.rollout import standing

pytestmark = pytest.mark.django_db
WITH_RECENT_SIGN_IN = {"raise", "start", "cap", "attest"}
ABOUT = {"stage": Stage.PUBLIC_BETA, "condition": "ga_load", "": "-"}


@pytest.fixture(autouse=True)
def _runbook(settings: Any, tmp_path: Path) -> None:
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "runbook.md").write_text("## P1\n## P2\n## P3\n## P4\n")
    standing.stage()


def checklist() -> str:
    return reverse("admin:tenants_rollout")


def text(answer: Any) -> str:
    return str(answer.content.decode())


def long_ago(client: Client) -> None:
    """The person proved who they are an hour ago."""
    session = client.session
    session["_signed_in_at"] = time.time() - 3600
    session.save()


def test_says_what_is_missing_for_each_stage(client: Client) -> None:
    page = text(client.get(checklist()))
    assert "Private beta" in page and "4 of 5 missing" in page
    assert ">manage.py drill rbac</code>" in page
    assert "What is missing to open public beta" in page
    assert "Go back to dev" in page
    assert ask_address("attest", "rbac_isolation") in page
    assert ask_address("attest", "proof") not in page


def test_evidence_leads_to_its_row(client: Client) -> None:
    record = standing.record()
    page = text(client.get(checklist()))
    assert reverse("admin:tenants_readinessrecord_change", args=[record.pk]) in page


def test_who_may_see_may_not_press(client: Client) -> None:
    looker = staff.signed_in(staff.staff_with("view_rollout"))
    page = text(looker.get(checklist()))
    assert "Private beta" in page and "/checklist/raise" not in page
    assert looker.get(ask_address("stop")).status_code == 403
    assert looker.post(ask_address("stop"), {}).status_code == 403
    assert staff.signed_in(staff.staff_with("view_user")).get(checklist()).status_code == 403


@pytest.mark.parametrize("name", ACTS)
def test_each_asks_first_and_a_get_does_nothing(client: Client, name: str) -> None:
    standing.vouch("ga_load")
    before = Event.objects.count()
    answer = client.get(ask_address(name, ABOUT[ACTS[name].kind]), {"reason": "x"})
    assert answer.status_code == 200
    assert ("What happens" in text(answer)) or ("Not yet" in text(answer))
    assert Event.objects.count() == before


@pytest.mark.parametrize("name", ACTS)
def test_raising_opening_caps_and_vouching_need_a_recent_sign_in(client: Client, name: str) -> None:
    standing.vouch("ga_load")
    long_ago(client)
    before = Event.objects.count()
    address = ask_address(name, ABOUT[ACTS[name].kind])
    for method in (client.get, client.post):
        answer = method(address)
        if name in WITH_RECENT_SIGN_IN:
            assert answer.status_code == 302
            assert answer["Location"].startswith("/accounts/reauthenticate/?next=")
        else:
            assert answer.status_code in (200, 302)
            assert "reauthenticate" not in answer.get("Location", "")
    if name in WITH_RECENT_SIGN_IN:
        assert Event.objects.count() == before


@pytest.mark.parametrize(
    "address",
    [("jump", "ga"), ("raise", "moon"), ("stop", "ga"), ("attest", "moon"), ("attest", "proof")],
)
def test_what_there_is_not_is_404(client: Client, address: tuple[str, str]) -> None:
    assert client.get(ask_address(*address)).status_code == 404


class TestRaise:
    def test_shows_what_is_missing_instead_of_a_button(self, client: Client) -> None:
        page = text(client.get(ask_address("raise", Stage.PUBLIC_BETA)))
        assert "Not yet. This is missing:" in page
        assert '<form method="post" class="staff-form"' not in page

    def test_a_post_past_the_page_is_refused_by_the_conditions(self, client: Client) -> None:
        answer = client.post(ask_address("raise", Stage.PUBLIC_BETA), {"reason": "now"})
        assert answer.status_code == 200 and "is not open yet" in text(answer)
        assert stages.current() == Stage.PRIVATE_BETA

    def test_works_with_a_reason(self, client: Client, superuser: User) -> None:
        standing.public_beta_open()
        address = ask_address("raise", Stage.PUBLIC_BETA)
        assert "This field is required" in text(client.post(address, {"reason": ""}))
        answer = client.post(address, {"reason": "two quiet weeks"}, follow=True)
        assert "The stage is public beta." in text(answer)
        change = StageChange.objects.get()
        assert (change.by, change.reason) == (superuser, "two quiet weeks")
        assert len(change.evidence) == 10
        page = reverse("admin:tenants_stagechange_change", args=[change.pk])
        assert "What the conditions showed" in text(client.get(page))

    def test_somebody_else_was_faster(self, client: Client) -> None:
        standing.public_beta_open()
        stages.raise_stage(to=Stage.PUBLIC_BETA, actor=standing.ACTOR, reason="first")
        answer = client.post(ask_address("raise", Stage.PUBLIC_BETA), {"reason": "second"})
        assert "The stage is public beta already." in text(answer)


def seen(client: Client, address: str) -> str:
    """What the page carries about the decision that it asks for."""
    carried = re.search(r'name="seen" value="([^"]+)"', text(client.get(address)))
    assert carried is not None
    return carried[1]


class TestAnOldPage:
    """It was opened before somebody else decided, or its button is pressed twice."""

    def test_does_not_raise_again_what_was_lowered(self, client: Client) -> None:
        standing.public_beta_open()
        address = ask_address("raise", Stage.PUBLIC_BETA)
        old = {"reason": "ready", "seen": seen(client, address)}
        stages.raise_stage(to=Stage.PUBLIC_BETA, actor=standing.ACTOR, reason="a colleague")
        stages.lower_stage(to=Stage.PRIVATE_BETA, actor=standing.ACTOR, reason="on fire")
        assert "Somebody changed it" in text(client.post(address, old))
        assert stages.current() == Stage.PRIVATE_BETA
        client.post(address, {"reason": "all the same", "seen": seen(client, address)})
        assert stages.current() == Stage.PUBLIC_BETA

    def test_does_not_open_what_was_stopped_for_another_reason(self, client: Client) -> None:
        signups.stop(actor=standing.ACTOR, reason="a drill")
        old = {"reason": "drill over", "seen": seen(client, ask_address("start"))}
        signups.start(actor=standing.ACTOR, reason="drill over")
        signups.stop(actor=standing.ACTOR, reason="an incident")
        assert "Somebody changed it" in text(client.post(ask_address("start"), old))
        assert signups.refusal() is not None

    def test_does_not_overwrite_a_cap(self, client: Client) -> None:
        address = ask_address("cap", Stage.PRIVATE_BETA)
        old = {"cap": "500", "reason": "x", "seen": seen(client, address)}
        stages.set_cap(stage=Stage.PRIVATE_BETA, cap=5, actor=standing.ACTOR, reason="full")
        assert "Somebody changed it" in text(client.post(address, old))
        assert stages.row().private_beta_cap == 5

    def test_vouches_once(self, client: Client) -> None:
        address = ask_address("attest", "ga_load")
        twice = {"days": "5", "reason": "p95 0.2 s", "seen": seen(client, address)}
        assert client.post(address, twice).status_code == 302
        assert client.post(address, twice).status_code == 200
        assert Attestation.objects.count() == 1

    def test_stops_and_lowers_always(self, client: Client) -> None:
        for name, what in (("lower", Stage.DEV), ("stop", "-")):
            assert 'name="seen"' not in text(client.get(ask_address(name, what)))

    def test_of_a_step_that_is_none_leads_back(self, client: Client) -> None:
        for stage in (Stage.DEV, Stage.PRIVATE_BETA, Stage.GA):
            answer = client.get(ask_address("raise", stage))
            assert (answer.status_code, answer["Location"]) == (302, checklist())


@pytest.mark.parametrize("name", ACTS)
def test_a_foreign_page_cannot_press_a_button(superuser: User, name: str) -> None:
    """No CSRF token, no act; not even those that must always work."""
    standing.vouch("ga_load")
    careful = Client(enforce_csrf_checks=True, headers={"host": staff.HOST})
    careful.cookies = staff.signed_in(superuser).cookies
    before = Event.objects.count()
    address = ask_address(name, ABOUT[ACTS[name].kind])
    assert careful.get(address).status_code == 200
    assert careful.post(address, {"reason": "x", "days": "1"}).status_code == 403
    assert Event.objects.count() == before


def test_lowering_asks_for_no_reason(client: Client) -> None:
    answer = client.post(ask_address("lower", Stage.DEV), {"reason": ""}, follow=True)
    assert "The stage is dev." in text(answer)
    assert stages.current() == Stage.DEV


def test_stop_and_start(client: Client) -> None:
    assert "Sign-ups are stopped." in text(client.post(ask_address("stop"), {}, follow=True))
    assert signups.refusal() is not None
    page = text(client.get(checklist()))
    assert "Open them again" in page
    assert "stopped already" in text(client.post(ask_address("stop"), {}))
    done = client.post(ask_address("start"), {"reason": "over"}, follow=True)
    assert "People can sign up again." in text(done)
    assert signups.refusal() is None


def test_a_cap_is_set_and_lifted(client: Client) -> None:
    address = ask_address("cap", Stage.PRIVATE_BETA)
    make_organisation()
    client.post(address, {"cap": "1", "reason": "small"})
    assert Rollout.objects.get().private_beta_cap == 1
    assert "all 1 places of this stage are taken" in text(client.get(checklist()))
    client.post(address, {"cap": "", "no_cap": "on", "reason": "enough"})
    assert Rollout.objects.get().private_beta_cap is None
    assert "Give a number" in text(client.post(address, {"cap": "", "reason": "x"}))
    assert "less than or equal" in text(client.post(address, {"cap": "9999999", "reason": "x"}))


def test_vouching_and_withdrawing(client: Client, superuser: User) -> None:
    address = ask_address("attest", "ga_load")
    client.post(address, {"days": "10", "reason": "report of May 3: p95 0.2 s"})
    made = Attestation.objects.get()
    assert (made.by, made.condition) == (superuser, "ga_load")
    page = text(client.get(checklist()))
    assert "report of May 3" in page and str(superuser) in page
    assert "less than or equal to 90" in text(client.post(address, {"days": "91", "reason": "x"}))
    client.post(ask_address("withdraw", "ga_load"), {})
    assert "report of May 3" not in text(client.get(checklist()))
    assert client.get(reverse("admin:tenants_attestation_changelist")).status_code == 200


def test_hostile_words_stay_words(client: Client) -> None:
    stages.lower_stage(to=Stage.DEV, actor=standing.ACTOR, reason=staff.HOSTILE)
    signups.stop(actor=standing.ACTOR, reason=staff.HOSTILE)
    assert "<script>alert" not in text(client.get(checklist()))


def test_the_page_costs_the_same_with_more_of_everything(client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(checklist())
        return len(captured)

    standing.public_beta_open()
    stages.lower_stage(to=Stage.DEV, actor=standing.ACTOR)
    queries()
    few = queries()
    for _ in range(3):
        standing.record()
        make_organisation()
        standing.vouch("ga_load")
    queries()
    assert queries() == few <= 40
