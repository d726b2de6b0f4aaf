"""Permissions are decided as hosted-contract section 10.3 says."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from rbac.authorizer import ACTIONS, MAX_DEPTH, Grant, Rights, decide, grants_of
from rbac.models import Assignment, Permission, Role
from tenants.schemas import in_schema
from tests.factories import make_organisation, make_user


def allowed(grants: list[Grant], action: str, resource: str, **attributes: str) -> bool:
    return decide(grants, action, resource, {"user": "u1", **attributes})


def test_nothing_granted_is_denied() -> None:
    assert not allowed([], "read", "nodes")


def test_an_allow_allows_its_action_on_its_resource_only() -> None:
    grants = [Grant("read", "nodes")]
    assert allowed(grants, "read", "nodes")
    assert not allowed(grants, "write", "nodes")
    assert not allowed(grants, "read", "users")


@pytest.mark.parametrize("action", ACTIONS)
def test_admin_satisfies_any_action(action: str) -> None:
    assert allowed([Grant("admin", "nodes")], action, "nodes")
    assert not allowed([Grant("admin", "nodes")], action, "users")


@pytest.mark.parametrize(
    ("granted", "resource", "fits"),
    [
        ("*", "nodes", True),
        ("*", "nodes:pve1", True),
        ("nodes", "nodes", True),
        ("nodes", "nodes:pve1", False),
        ("nodes:*", "nodes", True),
        ("nodes:*", "nodes:pve1", True),
        ("nodes:*", "nodes:pve1:disk", True),
        ("nodes:*", "nodesx", False),
        ("nodes:*", "node", False),
        ("nodes:pve1", "nodes:pve1", True),
        ("nodes:pve1", "nodes:pve12", False),
        ("nodes:pve1:*", "nodes:pve12", False),
        ("node*", "nodes", False),
        ("", "nodes", False),
    ],
)
def test_resources_match(granted: str, resource: str, fits: bool) -> None:
    assert allowed([Grant("read", granted)], "read", resource) is fits


def test_deny_wins_over_every_allow_wherever_it_stands() -> None:
    deny, allow = Grant("write", "nodes", "deny"), Grant("admin", "*")
    for grants in ([deny, allow], [allow, deny], [allow, deny, allow]):
        assert not allowed(grants, "write", "nodes")
        assert allowed(grants, "read", "nodes")


def test_a_deny_of_admin_denies_all() -> None:
    assert not allowed([Grant("admin", "*"), Grant("admin", "users:*", "deny")], "read", "users:1")


def test_an_effect_that_is_unknown_denies() -> None:
    assert not allowed([Grant("read", "nodes"), Grant("read", "nodes", "maybe")], "read", "nodes")


@pytest.mark.parametrize(
    ("conditions", "attributes", "holds"),
    [
        ({}, {}, True),
        ({"site": "north"}, {"site": "north"}, True),
        ({"site": "north"}, {"site": "south"}, False),
        ({"site": "north"}, {}, False),
        ({"site": "north", "rack": "1"}, {"site": "north"}, False),
        ({"owner": "${user}"}, {"owner": "u1"}, True),
        ({"owner": "${user}"}, {"owner": "u2"}, False),
        ({"owner": "team-${attr.team}"}, {"owner": "team-a", "team": "a"}, True),
        ({"owner": "team-${attr.team}"}, {"owner": "team-", "team": ""}, True),
        ({"owner": "team-${attr.team}"}, {"owner": "team-${attr.team}"}, False),
        ({"owner": "${attr.user}"}, {"owner": "u1"}, True),
        ({"owner": "${other}"}, {"owner": "${other}"}, True),
        ({"count": 3}, {"count": "3"}, True),
    ],
)
def test_conditions(conditions: dict[str, Any], attributes: dict[str, str], holds: bool) -> None:
    grants = [Grant("read", "nodes", conditions=conditions)]
    assert allowed(grants, "read", "nodes", **attributes) is holds


def test_a_deny_whose_condition_is_not_met_is_skipped() -> None:
    grants = [Grant("read", "*"), Grant("read", "nodes", "deny", {"site": "north"})]
    assert not allowed(grants, "read", "nodes", site="north")
    assert allowed(grants, "read", "nodes", site="south")
    assert allowed(grants, "read", "nodes")


_grants = st.lists(
    st.builds(
        Grant,
        st.sampled_from(ACTIONS),
        st.sampled_from(["*", "nodes", "nodes:*", "users"]),
        st.sampled_from(["allow", "deny"]),
        st.sampled_from([{}, {"site": "north"}]),
    ),
    max_size=6,
)


@given(_grants, st.sampled_from(ACTIONS), st.sampled_from(["nodes", "nodes:1", "users", "ai"]))
def test_more_denies_never_allow_more(grants: list[Grant], action: str, resource: str) -> None:
    denied = [*grants, Grant(action, resource, "deny")]
    assert not allowed(denied, action, resource)
    if allowed(grants, action, resource):
        assert any(grant.effect == "allow" for grant in grants)
    assert allowed(list(reversed(grants)), action, resource) is allowed(grants, action, resource)


@pytest.fixture
def inside(db: None) -> Any:
    with in_schema(make_organisation()):
        yield


def role(name: str, *permissions: tuple[str, str, str], parent: Role | None = None) -> Role:
    made = Role.objects.create(id=name, name=name, parent=parent)
    for action, resource, effect in permissions:
        Permission.objects.create(role=made, action=action, resource=resource, effect=effect)
    return made


def test_grants_come_from_every_role_and_its_parents(inside: None) -> None:
    person = make_user()
    grand = role("grand", ("read", "users", "allow"))
    parent = role("parent", ("write", "users", "deny"), parent=grand)
    child = role("child", ("read", "nodes", "allow"), parent=parent)
    other = role("other", ("write", "users", "allow"))
    role("unrelated", ("admin", "*", "allow"))
    for held in (child, other):
        Assignment.objects.create(user=person.pk, role=held)
    grants = grants_of(person.pk)
    assert allowed(grants, "read", "users")
    assert allowed(grants, "read", "nodes")
    # The deny two roles away beats the allow of a role that is held directly.
    assert not allowed(grants, "write", "users")
    assert not allowed(grants, "admin", "settings")
    assert grants_of(make_user().pk) == []


def test_conditions_survive_the_database(inside: None) -> None:
    person, held = make_user(), role("held")
    Permission.objects.create(
        role=held, action="read", resource="nodes", conditions={"owner": "${user}"}
    )
    Assignment.objects.create(user=person.pk, role=held)
    assert grants_of(person.pk) == [Grant("read", "nodes", "allow", {"owner": "${user}"})]


def test_parents_are_followed_ten_levels_and_no_further(inside: None) -> None:
    person = make_user()
    above: Role | None = None
    for level in range(MAX_DEPTH + 2, -1, -1):
        above = role(f"level-{level}", ("read", f"res-{level}", "allow"), parent=above)
    assert above is not None
    Assignment.objects.create(user=person.pk, role=above)
    reached = {grant.resource for grant in grants_of(person.pk)}
    assert reached == {f"res-{level}" for level in range(MAX_DEPTH + 1)}


def test_a_circle_of_parents_ends(inside: None) -> None:
    person = make_user()
    first = role("first", ("read", "nodes", "allow"))
    second = role("second", ("read", "users", "allow"), parent=first)
    Role.objects.filter(pk="first").update(parent=second)
    Assignment.objects.create(user=person.pk, role=second)
    assert {grant.resource for grant in grants_of(person.pk)} == {"nodes", "users"}


def test_one_query_reads_all_grants(inside: None) -> None:
    person = make_user()
    Assignment.objects.create(user=person.pk, role_id="operator")
    with CaptureQueriesContext(connection) as captured:
        assert len(grants_of(person.pk)) == 5
    queries = [q["sql"] for q in captured if "search_path" not in q["sql"]]
    assert len(queries) == 1


# --- laws, for any permissions -------------------------------------------------------------------

_asked = st.tuples(
    st.sampled_from(ACTIONS),
    st.sampled_from(["nodes", "nodes:1", "nodes:1:a", "users", "ai", "other"]),
    st.sampled_from([{}, {"site": "north"}, {"site": "south"}, {"owner": "u1"}]),
)
_any = st.builds(
    Grant,
    st.sampled_from(ACTIONS),
    st.sampled_from(["*", "nodes", "nodes:*", "nodes:1", "nodes:1:*", "users"]),
    st.sampled_from(["allow", "deny"]),
    st.sampled_from([{}, {"site": "north"}, {"owner": "${user}"}, {"owner": "${attr.missing}"}]),
)
_lists = st.lists(_any, max_size=8)
_Asked = tuple[str, str, dict[str, str]]


def says(grants: list[Grant], asked: _Asked) -> bool:
    action, resource, attributes = asked
    return allowed(grants, action, resource, **attributes)


@given(_lists, _asked, st.randoms(use_true_random=False))
def test_order_and_repetition_are_irrelevant(grants: list[Grant], asked: _Asked, dice: Any) -> None:
    shuffled = [*grants, *grants]
    dice.shuffle(shuffled)
    assert says(shuffled, asked) is says(grants, asked)


@given(_lists, _lists, _asked)
def test_more_denies_never_allow_and_more_allows_never_deny(
    grants: list[Grant], more: list[Grant], asked: _Asked
) -> None:
    denies = [grant for grant in more if grant.effect == "deny"]
    allows = [grant for grant in more if grant.effect == "allow"]
    assert says([*grants, *denies], asked) <= says(grants, asked)
    assert says([*grants, *allows], asked) >= says(grants, asked)


@given(_lists, _asked)
def test_a_single_matching_deny_wins(grants: list[Grant], asked: _Asked) -> None:
    """Yes means: some allow matches by itself, and no deny does."""
    alone = [
        (
            grant.effect,
            says([Grant(grant.action, grant.resource, "allow", grant.conditions)], asked),
        )
        for grant in grants
    ]
    assert says(grants, asked) is (("allow", True) in alone and ("deny", True) not in alone)


@given(_lists, _asked)
def test_roles_combine_as_one(grants: list[Grant], asked: _Asked) -> None:
    """Two roles say together what one role with both their permissions says."""
    for cut in range(len(grants) + 1):
        one, other = grants[:cut], grants[cut:]
        assert says([*other, *one], asked) is says(grants, asked)


@given(st.lists(st.sampled_from(["a", "b", "nodes"]), min_size=1, max_size=4))
def test_a_pattern_reaches_what_is_below_and_nothing_beside(path: list[str]) -> None:
    stem = ":".join(path)
    for below in (stem, f"{stem}:x", f"{stem}:x:y"):
        assert allowed([Grant("read", f"{stem}:*")], "read", below)
    for beside in (f"{stem}x", f"{stem}-x:y", "z", ":".join(path[:-1])):
        assert not allowed([Grant("read", f"{stem}:*")], "read", beside)
    assert not allowed([Grant("read", stem)], "read", f"{stem}:x")


@given(_lists, st.lists(_asked, max_size=12))
def test_remembered_answers_are_the_answers(grants: list[Grant], questions: list[_Asked]) -> None:
    rights = Rights(grants)
    for action, resource, attributes in questions * 2:
        known = {"user": "u1", **attributes}
        assert rights.allow(action, resource, known) is decide(grants, action, resource, known)
