"""A restore on a running product: whoever was let in before has to come in anew."""

from __future__ import annotations

from rbac.models import Assignment
from tenants.schemas import in_schema
from tests.nights.paired import paired
from tests.product import Product
from tests.waiting import until


def test_phones_and_people_of_before_are_out_and_may_come_again(product: Product) -> None:
    member = product.signed_up(enter=True)
    with paired(member) as phone:
        until(phone.works, 20, every=0.2, what="the phone works")
        product.manage("org_backup", member.label)
        with in_schema(member.organisation):
            Assignment.objects.all().delete()
        told = product.manage("org_restore", member.label, "--reason", "roles were lost").stdout
        assert "What it had before is backup" in told
        # Its socket is closed by the runtime, and the token of then opens no other.
        until(lambda: phone.asks() == 0, 10, every=0.2, what="the phone's socket is closed")
        assert not phone.connect()
        assert "AUTH_FAILED" in phone.refusals
    browser = member.browser
    assert browser.request("GET", "/api/organisation", host=member.host).status_code == 401
    browser.enter(member.label)
    # Processes that served the old schema look into the new one, with its rights.
    for _ in range(20):
        roles = browser.request("GET", "/api/admin/roles", host=member.host)
        assert roles.status_code == 200 and len(roles.json()) == 4
    with paired(member) as phone:
        until(phone.works, 20, every=0.2, what="a phone that was paired anew")
