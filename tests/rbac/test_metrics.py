"""The counters of roles (hosted-contract section 10.7), as a scrape of the running product has them."""

from __future__ import annotations

import httpx

from rbac.metrics import ACTIONS
from tests.factories import add_member
from tests.metrics.scrape import Key, parsed, value
from tests.product import Product

MUTATIONS = "pulse_rbac_role_mutations_total"
CHECKS = "pulse_rbac_integrity_checks_total"


def scrape(product: Product) -> dict[Key, float]:
    address = f"http://127.0.0.1:{product.web[1]}/metrics"
    return parsed(httpx.get(address, headers={"Host": "localhost"}, timeout=20).content)


def test_mutations_checks_and_stores_are_counted(product: Product) -> None:
    before = scrape(product)
    member = product.signed_up("Counted", enter=True)
    user = add_member(member.organisation, "viewer")
    browser, host = member.browser, member.host
    browser.expect(200, "GET", "/roles/+new", host=host)
    role = {"id": "one", "name": "One", "permissions": []}
    browser.expect(200, "POST", "/api/admin/roles", host=host, json=role)
    browser.expect(409, "POST", "/api/admin/roles", host=host, json=role)  # does not count
    del role["id"]
    browser.expect(200, "PUT", "/api/admin/roles/one", host=host, json=role)
    path = f"/api/admin/users/{user.pk}"
    browser.expect(204, "PUT", f"{path}/roles", host=host, json={"roleIds": ["one"]})
    browser.expect(204, "DELETE", "/api/admin/roles/one", host=host)
    browser.expect(204, "DELETE", path, host=host)
    browser.expect(200, "GET", "/api/admin/rbac/integrity", host=host)
    after = scrape(product)
    for action in ACTIONS:
        change = value(after, MUTATIONS, action=action) - value(before, MUTATIONS, action=action)
        assert change == 1, action
    assert value(after, CHECKS, result="healthy") == value(before, CHECKS, result="healthy") + 1
    assert value(after, CHECKS, result="unhealthy") == value(before, CHECKS, result="unhealthy")
    stores = "pulse_rbac_managers_active"
    assert value(after, stores) == value(before, stores) + 1
