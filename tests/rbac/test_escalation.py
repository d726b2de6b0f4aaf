"""Nobody gives themselves or anybody else more than they have (hosted-contract section 10.6)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.models import Event
from rbac import assignments, escalation, role_specs
from rbac.authorizer import Grant, decide
from rbac.builtin import ROLES, Builtin
from rbac.escalation import Standing, covers, holds
from rbac.role_tree import Node, Tree
from tenants.http.problems import Problem
from tests.factories import add_member, make_organisation
from tests.rbac.people import PLATFORM, Caller, held, make_role, member_with

RESOURCES = ("*", "users", "nodes", "nodes:*", "nodes:1", "nodes:1:*")
CONDITIONS: tuple[dict[str, str], ...] = ({}, {"site": "north"}, {"user": "${user}"})
ASKED = ("users", "nodes", "nodes:1", "nodes:1:a", "nodes:2", "other")
SITES: tuple[dict[str, str], ...] = ({}, {"site": "north"}, {"site": "south"})
PEOPLE = tuple(UUID(int=number) for number in range(4))

grant = st.builds(
    Grant,
    st.sampled_from(("read", "write", "admin")),
    st.sampled_from(RESOURCES),
    st.sampled_from(("allow", "allow", "deny")),
    st.sampled_from(CONDITIONS),
)
grants = st.lists(grant, max_size=4)


def reach(having: list[Grant], user: UUID = PEOPLE[0]) -> set[tuple[str, str, int]]:
    """Every question of a small world that these permissions say yes to, for this person."""
    return {
        (action, resource, site)
        for action, resource, (site, more) in itertools.product(
            ("read", "write", "admin"), ASKED, enumerate(SITES)
        )
        if decide(having, action, resource, {"user": str(user), **more})
    }


@given(grant, grant)
def test_what_covers_reaches_at_least_as_far(wide: Grant, narrow: Grant) -> None:
    if covers(wide, narrow):
        as_allow = [Grant(g.action, g.resource, "allow", g.conditions) for g in (wide, narrow)]
        for one, other in itertools.product(PEOPLE[:2], repeat=2):
            assert reach([as_allow[1]], other) <= reach([as_allow[0]], one)


@given(grants, grant)
@settings(max_examples=400)
def test_who_holds_something_may_do_all_of_it(having: list[Grant], wanted: Grant) -> None:
    """Whoever passes the rule could do themselves whatever they give, to whomever they give it."""
    if holds(having, wanted):
        given_on = [Grant(wanted.action, wanted.resource, "allow", wanted.conditions)]
        for granter, receiver in itertools.product(PEOPLE[:2], repeat=2):
            assert reach(given_on, receiver) <= reach(having, granter)


@given(st.lists(grant.filter(lambda g: not g.conditions), max_size=6), grant)
def test_a_full_administrator_holds_everything(more: list[Grant], wanted: Grant) -> None:
    allowed = [g for g in more if g.effect == "allow"]
    assert holds([Grant("admin", "*"), *allowed], wanted)


# --- sequences of changes -----------------------------------------------------------------------


@dataclass
class World:
    """An organisation in memory, changed as rbac.roles and rbac.assignments change one."""

    tree: Tree
    roles: dict[UUID, frozenset[str]]

    def having(self, user: UUID) -> list[Grant]:
        return self.tree.grants(self.roles[user])

    def standing(self, user: UUID) -> Standing:
        return Standing(user, self.roles[user], tuple(self.having(user)))

    def write(self, by: UUID, node: Node) -> None:
        after = self.tree.having(node)
        if after.turns_in_circles(node.id) or after.too_deep(node.id):
            return
        escalation.may_change_role(self.standing(by), self.tree, after, node.id)
        self.tree = after

    def delete(self, by: UUID, role: str) -> None:
        if role not in self.tree or any(n.parent == role for n in self.tree.nodes.values()):
            return
        after = self.tree.lacking(role)
        escalation.may_change_role(self.standing(by), self.tree, after, role)
        self.tree = after
        self.roles = {user: held - {role} for user, held in self.roles.items()}

    def assign(self, by: UUID, user: UUID, roles: frozenset[str]) -> None:
        roles = roles & frozenset(self.tree.nodes)
        before = self.roles[user]
        escalation.may_assign(self.standing(by), self.tree, user, before, roles)
        self.roles[user] = roles


NAMES = ("a", "b", "c")
# A small world, so that changes meet each other often; conditions are tried above.
small = st.builds(
    Grant,
    st.sampled_from(("read", "write", "admin")),
    st.sampled_from(("*", "users", "nodes")),
    st.sampled_from(("allow", "deny")),
)
few = st.lists(small, max_size=2).map(tuple)
node = st.builds(Node, st.sampled_from(NAMES), st.sampled_from((None, *NAMES)), few)
some_roles = st.frozensets(st.sampled_from(NAMES), max_size=3)
step = st.one_of(
    st.tuples(st.just("write"), node),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("assign"), st.sampled_from(PEOPLE), some_roles),
)
# What the granter has stands in a role of their own.
own_role = st.builds(
    Node,
    st.just("own"),
    st.sampled_from((None, None, "a")),
    st.lists(small, min_size=1, max_size=3).map(tuple),
)
beginning = st.tuples(
    own_role,
    *(st.builds(Node, st.just(n), grants=few) for n in NAMES[:2]),
    st.builds(Node, st.just("c"), st.sampled_from((None, "a", "b")), few),
)


@given(
    beginning,
    st.lists(some_roles, min_size=len(PEOPLE) - 1, max_size=len(PEOPLE) - 1),
    st.lists(step, min_size=1, max_size=5),
)
@settings(max_examples=1500, deadline=None)
def test_no_sequence_of_changes_gives_more_than_the_granter_has(
    nodes: tuple[Node, ...], roles: list[frozenset[str]], steps: list[tuple[object, ...]]
) -> None:
    """One person, with whatever permissions, tries what they like: nobody ends up able to do what
    neither they could before nor the granter can."""
    everybody = zip(PEOPLE, [frozenset({"own"}), *roles], strict=True)
    world = World(Tree(nodes), dict(everybody))
    granter = PEOPLE[0]
    own = reach(world.having(granter), granter)
    before = {user: reach(world.having(user), user) for user in PEOPLE}
    for name, *arguments in steps:
        try:
            getattr(world, str(name))(granter, *arguments)
        except Problem as problem:
            assert problem.status == 403
            assert problem.code in ("escalation_denied", "self_modification_denied")
    assert reach(world.having(granter), granter) == own
    for user in PEOPLE:
        assert reach(world.having(user), user) <= before[user] | own


@pytest.mark.parametrize("builtin", ROLES, ids=lambda each: each.id)
def test_a_manager_of_people_gives_no_builtin_role(builtin: Builtin) -> None:
    standing = Standing(uuid4(), frozenset({"manager"}), (Grant("admin", "users"),))
    tree = Tree(
        Node(each.id, None, tuple(Grant(a, r) for a, r in each.permissions)) for each in ROLES
    )
    with pytest.raises(Problem, match="escalation_denied"):
        escalation.may_assign(standing, tree, uuid4(), set(), {builtin.id})


def test_taking_a_denial_away_is_giving() -> None:
    """The trap: each of these adds no permission anywhere, and lets somebody do more."""
    manager = Standing(uuid4(), frozenset(), (Grant("admin", "users"), Grant("read", "*")))
    mute = Node("mute", None, (Grant("admin", "*", "deny"),))
    muted = Node("muted", "mute", (Grant("read", "nodes"),))
    tree = Tree([mute, muted])
    for after in (
        tree.having(Node("mute")),  # the denial goes
        tree.having(Node("mute", None, (Grant("write", "*", "deny"),))),  # it denies less
        tree.having(Node("mute", None, (Grant("admin", "*", "deny", {"site": "north"}),))),
    ):
        with pytest.raises(Problem, match="escalation_denied"):
            escalation.may_change_role(manager, tree, after, "mute")
    with pytest.raises(Problem, match="escalation_denied"):  # the parent goes
        escalation.may_change_role(
            manager, tree, tree.having(Node("muted", None, muted.grants)), "muted"
        )
    with pytest.raises(Problem, match="escalation_denied"):  # the role goes
        escalation.may_change_role(manager, tree, tree.lacking("muted"), "muted")
    with pytest.raises(Problem, match="escalation_denied"):  # the assignment goes
        escalation.may_assign(manager, tree, uuid4(), {"muted"}, set())


def test_giving_a_role_gives_what_it_inherits() -> None:
    manager = Standing(uuid4(), frozenset(), (Grant("admin", "users"), Grant("read", "*")))
    tree = Tree(
        [
            Node("boss", None, (Grant("admin", "*"),)),
            Node("middle", "boss"),
            Node("harmless", "middle", (Grant("read", "nodes"),)),
        ]
    )
    for before, after in ((set(), {"harmless"}), ({"harmless"}, set())):
        with pytest.raises(Problem, match="escalation_denied"):
            escalation.may_assign(manager, tree, uuid4(), before, after)


# --- through the doors ------------------------------------------------------------------------------


@pytest.fixture
def manager(db: None) -> Caller:
    """Somebody who manages people and reads, and may do nothing else."""
    organisation = make_organisation()
    make_role(organisation, "manager", Grant("admin", "users"), Grant("read", "*"))
    return Caller(organisation, member_with(organisation, "manager"))


def test_a_manager_gives_what_they_have_and_no_more(manager: Caller) -> None:
    organisation = manager.organisation
    user = add_member(organisation, "viewer")
    path = f"/api/admin/users/{user.pk}/roles"
    assert manager.ask("PUT", path, {"roleIds": ["viewer", "manager"]}).status_code == 204
    for role in ("admin", "operator"):
        manager.refused(403, "escalation_denied", "PUT", path, {"roleIds": ["viewer", role]})
    for action, resource in (("write", "nodes"), ("admin", "*"), ("admin", "settings")):
        permission = {"action": action, "resource": resource}
        body = {"id": "sneaky", "permissions": [permission]}
        manager.refused(403, "escalation_denied", "POST", "/api/admin/roles", body)
    body = {"id": "sneaky", "parentId": "operator", "permissions": []}
    manager.refused(403, "escalation_denied", "POST", "/api/admin/roles", body)
    body = {"id": "fine", "permissions": [{"action": "read", "resource": "nodes"}]}
    assert manager.ask("POST", "/api/admin/roles", body).status_code == 200
    body |= {"name": "Fine", "permissions": [{"action": "write", "resource": "nodes"}]}
    manager.refused(403, "escalation_denied", "PUT", "/api/admin/roles/fine", body)
    assert held(organisation, user.pk) == {"viewer", "manager"}
    failed = Event.objects.filter(organisation=organisation.pk, success=False)
    assert set(failed.values_list("action", flat=True)) == {
        "user_roles_update_failed",
        "role_create_failed",
        "role_update_failed",
    }


def test_a_manager_neither_demotes_nor_removes_who_is_above_them(manager: Caller) -> None:
    organisation = manager.organisation
    admin = add_member(organisation, "admin")
    path = f"/api/admin/users/{admin.pk}"
    manager.refused(403, "escalation_denied", "PUT", f"{path}/roles", {"roleIds": ["viewer"]})
    manager.refused(403, "escalation_denied", "DELETE", path)
    members = f"/api/orgs/{organisation.pk}/members"
    manager.refused(403, "escalation_denied", "DELETE", f"{members}/{admin.pk}")
    body = {"userId": str(admin.pk), "role": "viewer"}
    manager.refused(403, "escalation_denied", "POST", members, body)
    assert held(organisation, admin.pk) == {"admin"}


@pytest.mark.parametrize("role", ["base", "manager-too"])
def test_nobody_changes_a_role_that_they_hold(db: None, role: str) -> None:
    organisation = make_organisation()
    make_role(organisation, "base", Grant("admin", "*"))
    make_role(organisation, "manager-too", parent="base")
    caller = Caller(organisation, member_with(organisation, "manager-too"))
    path = f"/api/admin/roles/{role}"
    body = {"name": "Mine", "permissions": [{"action": "admin", "resource": "*"}]}
    caller.refused(403, "self_modification_denied", "PUT", path, body)
    if role == "manager-too":
        caller.refused(403, "self_modification_denied", "DELETE", path)


def test_a_demoted_administrator_is_refused_although_the_door_let_them_in(
    manager: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door asked a moment before; the verb asks again, with the organisation locked."""
    organisation = manager.organisation
    user = add_member(organisation, "viewer")
    read = role_specs.role_ids

    def demote_meanwhile(value: object) -> list[str]:
        assignments.set_roles(organisation, manager.user.pk, ["viewer"], actor=PLATFORM)
        return read(value)

    monkeypatch.setattr(role_specs, "role_ids", demote_meanwhile)
    path = f"/api/admin/users/{user.pk}/roles"
    manager.refused(403, "forbidden", "PUT", path, {"roleIds": []})
    assert held(organisation, user.pk) == {"viewer"}
