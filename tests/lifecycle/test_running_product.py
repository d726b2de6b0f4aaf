"""Life cycle on a running product: the owner's own routes, and a purge that stays complete."""

from __future__ import annotations

import time

import httpx

from tenants.models import Organisation, State
from tests.product import Member, Product
from tests.waiting import until


def act(member: Member, verb: str, **body: str) -> int:
    path = f"/api/admin/orgs/{member.id}/{verb}"
    return member.browser.request("POST", path, json=body).status_code


def test_a_suspended_organisation_answers_nobody_until_it_is_lifted(product: Product) -> None:
    member = product.signed_up(enter=True)

    def ask() -> httpx.Response:
        return member.browser.request("GET", "/api/organisation", host=member.host)

    assert ask().status_code == 200
    assert act(member, "suspend", reason="drill") == 200
    refused = ask()
    assert (refused.status_code, refused.json()["code"]) == (403, "org_suspended")
    assert member.browser.request("POST", f"/o/{member.label}/").status_code == 403
    assert act(member, "suspend") == 409
    assert act(member, "unsuspend") == 200
    assert ask().status_code == 200


def test_a_purged_canary_is_gone_and_nothing_grows_back(product: Product) -> None:
    """Runtime, relay and worker are told late or by their sweep; none may write about it again."""
    from tenants.lifecycle import residue

    member = product.signed_up(enter=True)
    status = "/api/settings/relay/status"
    until(
        lambda: member.browser.request("GET", status, host=member.host).json().get("connected"),
        20,
        what="the relay is connected",
    )
    assert act(member, "purge", reason="drill") == 200
    assert Organisation.objects.get(pk=member.id).state == State.DELETED
    until(lambda: residue(member.id) == [], 10)
    time.sleep(2.0)  # long enough for a late report of the runtime
    assert residue(member.id) == []
    assert member.browser.request("GET", "/api/organisation", host=member.host).status_code == 401
    assert member.browser.request("GET", "/signup/status").status_code == 401
    assert act(member, "purge") == 401
