"""Showing some of an organisation's people reads what belongs to these, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rbac import people_records
from rbac.models import Assignment
from tenants.models import Membership, SsoIdentity, SsoProvider
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_user
from tests.rbac.people import Caller, make_role, member_with

pytestmark = pytest.mark.django_db
USERS = "/api/admin/users"


@pytest.fixture
def owner() -> Caller:
    return Caller(make_organisation())


def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The kinds of all rows that are read from here on."""
    seen: list[type] = []
    for model in (Assignment, SsoIdentity):
        made: Any = model.from_db

        def from_db(cls: type, *rest: Any, _made: Any = made) -> Any:
            seen.append(cls)
            return _made(*rest)

        monkeypatch.setattr(model, "from_db", classmethod(from_db))
    return seen


def test_only_the_page_is_read(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = owner.organisation
    provider = SsoProvider.objects.create(
        organisation=organisation, slug="work", name="Work", issuer="https://i.test", client_id="x"
    )
    users = [add_member(organisation, "viewer", make_user(name=f"P{n}")) for n in range(6)]
    for number, user in enumerate(users):
        SsoIdentity.objects.create(
            organisation=organisation, provider=provider, issuer=provider.issuer,
            subject=str(number), user=user,
        )  # fmt: skip
    everybody = owner.gets(USERS)
    assert [each["roleIds"] for each in everybody] == [["admin"]] + [["viewer"]] * 6
    seen = rows_read(monkeypatch)
    page = owner.ask("GET", f"{USERS}?limit=2&offset=1")
    assert page.json() == everybody[1:3] and page["X-Total-Count"] == "7"
    assert (seen.count(Assignment), seen.count(SsoIdentity)) == (2, 2)
    seen.clear()
    assert owner.gets(f"{USERS}/{users[3].pk}") == everybody[4]
    assert (seen.count(Assignment), seen.count(SsoIdentity)) == (1, 1)
    seen.clear()
    answer = owner.client.get(f"/people/{users[3].pk}/roles", HTTP_HOST=organisation.instance_host)
    assert answer.status_code == 200 and "P3" in answer.content.decode()
    assert (seen.count(Assignment), seen.count(SsoIdentity)) == (1, 1)


def test_two_queries_for_any_number(owner: Caller) -> None:
    organisation = owner.organisation
    for _ in range(4):
        add_member(organisation, "viewer")
    members = list(Membership.objects.filter(organisation=organisation).select_related("user"))
    for some in (members[:1], members):
        with in_schema(organisation), CaptureQueriesContext(connection) as captured:
            show = people_records.shower(organisation, some)
            assert all(show(each)["roleIds"] for each in some)
        assert sum(" FROM " in each["sql"] for each in captured) == 2


def test_the_list_of_roles_counts_in_the_database(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation = owner.organisation
    make_role(organisation, "night")
    make_role(organisation, "unused")
    for _ in range(3):
        member_with(organisation, "night", "viewer")
    seen = rows_read(monkeypatch)
    for path, says in (("/roles", "3 people"), ("/roles/night", "3")):
        page = owner.client.get(path, HTTP_HOST=organisation.instance_host)
        assert page.status_code == 200 and says in page.content.decode()
    assert seen == []
