"""A change of roles bites with the very next request, in every thread and every process (F75)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx
import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.actors import Actor
from rbac import assignments, cache, roles
from rbac.authorizer import Grant, Rights, rights_of
from rbac.role_specs import RoleSpec
from tenants.models import Organisation, User
from tenants.people import membership
from tests.factories import add_member, make_organisation, make_token, make_user
from tests.product import Product
from tests.rbac.people import PLATFORM, Caller, make_role

ROLES = "/api/admin/roles"
ALL = Rights([Grant("admin", "*")])
NONE = Rights([])


def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_entries", type(cache._entries)())
    monkeypatch.setattr(cache, "_total", 0)


def rights_with(number: int, conditions: int = 0) -> Rights:
    wanted = {f"c{n}": "x" for n in range(conditions)}
    return Rights([Grant("read", f"r{n}", "allow", wanted) for n in range(number)])


def test_an_entry_is_good_for_its_version_only() -> None:
    name, user = f"org_{uuid4().hex}", uuid4()
    cache.put(name, user, 3, ALL)
    assert cache.get(name, user, 3) is ALL
    assert cache.get(name, user, 2) is None
    assert cache.get(name, user, 4) is None
    assert cache.get(name, uuid4(), 3) is None
    assert cache.get(f"org_{uuid4().hex}", user, 3) is None


def test_a_slow_request_does_not_bring_the_past_back() -> None:
    name, user = f"org_{uuid4().hex}", uuid4()
    cache.put(name, user, 4, NONE)
    cache.put(name, user, 3, ALL)  # it began before the change, and comes here after it
    assert cache.get(name, user, 4) is NONE
    assert cache.get(name, user, 3) is None


def test_is_bounded_and_keeps_who_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    empty(monkeypatch)
    monkeypatch.setattr(cache, "SIZE", 3)
    name = f"org_{uuid4().hex}"
    first, *rest = (UUID(int=number) for number in range(4))
    for user in (first, *rest[:2]):
        cache.put(name, user, 1, ALL)
    assert cache.get(name, first, 1)
    cache.put(name, rest[2], 1, ALL)
    assert cache.count() == 3
    assert cache.get(name, first, 1) is ALL
    assert cache.get(name, rest[0], 1) is None


def test_is_bounded_by_what_people_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grants and conditions count, not people: the longest unused make room for a large one."""
    empty(monkeypatch)
    monkeypatch.setattr(cache, "TOTAL", 100)
    name = f"org_{uuid4().hex}"
    small = [UUID(int=number) for number in range(4)]
    for user in small:
        cache.put(name, user, 1, rights_with(20))
    assert (cache.count(), cache.total()) == (4, 80)
    large = UUID(int=9)
    cache.put(name, large, 1, rights_with(10, conditions=5))
    assert cache.total() == 100
    assert [cache.get(name, user, 1) is None for user in small] == [True, True, False, False]
    cache.put(name, large, 2, rights_with(1))  # the place of the old one is free again
    assert cache.total() == 41
    cache.forget(name)
    assert (cache.count(), cache.total()) == (0, 0)


def test_whose_rights_are_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    empty(monkeypatch)
    name, user = f"org_{uuid4().hex}", uuid4()
    cache.put(name, user, 1, rights_with(cache.LARGEST))
    assert cache.get(name, user, 1) is not None
    cache.put(name, user, 2, rights_with(cache.LARGEST + 1))
    assert cache.get(name, user, 1) is None and cache.get(name, user, 2) is None
    assert (cache.count(), cache.total()) == (0, 0)


@pytest.mark.django_db
def test_large_rights_count_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LARGEST", 1)
    organisation = make_organisation()
    user = add_member(organisation, "editor")
    organisation.refresh_from_db()
    for _ in range(2):
        assert rights_of(organisation, user.pk).allow("write", "nodes", {})
        assert not rights_of(organisation, user.pk).allow("admin", "users", {})
    assert cache.count(organisation.schema_name) == 0


def test_threads_share_it() -> None:
    """Readers, writers and forgetting at once: never an answer of another version or person."""
    name, users = f"org_{uuid4().hex}", [uuid4() for _ in range(8)]
    rights = {(user, version): rights_with(version % 5) for user in users for version in range(50)}
    wrong: list[object] = []
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        start.wait()
        for number in range(4000):
            user = users[(seed + number) % len(users)]
            version = number * 50 // 4000
            found = cache.get(name, user, version)
            if found is not None and found is not rights[user, version]:
                wrong.append((user, version))
            if found is None:
                cache.put(name, user, version, rights[user, version])
            if number % 500 == seed:
                cache.forget(name)

    before = cache.total()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert not wrong
    cache.forget(name)
    assert cache.total() <= before  # nothing is counted that is not there
    assert cache.total() == sum(rights.size for _, rights in cache._entries.values())


def test_answers_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbac.authorizer.REMEMBERED", 4)
    rights = Rights([Grant("read", "nodes:*"), Grant("write", "mine", "allow", {"o": "${user}"})])
    for number in range(20):
        assert rights.allow("read", f"nodes:{number}", {"user": "u"})
    assert len(rights._answers) <= 4
    assert rights.allow("write", "mine", {"user": "u", "o": "u"})
    assert not rights.allow("write", "mine", {"user": "u", "o": "v"})
    assert not rights.allow("write", "mine", {"user": "u"})


@pytest.mark.django_db
def test_a_warm_answer_takes_no_query() -> None:
    organisation = make_organisation()
    user = add_member(organisation, "viewer")
    organisation.refresh_from_db()
    assert rights_of(organisation, user.pk).allow("read", "users", {})
    with CaptureQueriesContext(connection) as captured:
        assert not rights_of(organisation, user.pk).allow("admin", "users", {})
    assert len(captured) == 0


def _give_nothing(organisation: Organisation, user: User) -> None:
    assignments.set_roles(organisation, user.pk, [], actor=PLATFORM)


def _deny(organisation: Organisation, user: User) -> None:
    spec = RoleSpec("x", grants=(Grant("admin", "*", "deny"),))
    roles.update(organisation, "base", spec, actor=PLATFORM)


def _delete_role(organisation: Organisation, user: User) -> None:
    roles.delete(organisation, "custom", actor=PLATFORM)


def _demote(organisation: Organisation, user: User) -> None:
    assignments.set_roles(organisation, user.pk, ["operator"], actor=PLATFORM)
    make_role(organisation, "mute", Grant("read", "users", "deny"))
    assignments.set_roles(organisation, user.pk, ["operator", "mute"], actor=PLATFORM)


def _remove(organisation: Organisation, user: User) -> None:
    membership.remove(organisation=organisation, user=user, actor=Actor.system("test"))


CHANGES = [_give_nothing, _deny, _delete_role, _demote, _remove]


@pytest.mark.django_db
@pytest.mark.covers("F75")
@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__.strip("_"))
def test_each_kind_of_change_bites_at_once(change: Callable[[Organisation, User], None]) -> None:
    organisation = make_organisation()
    user = _administrator(organisation)
    caller = Caller(organisation, user)
    for _ in range(2):
        assert caller.ask("GET", ROLES).status_code == 200
    change(organisation, user)
    assert caller.ask("GET", ROLES).status_code in (401, 403)


def _administrator(organisation: Organisation) -> User:
    """Reads roles by a custom role, one of whose parents says nothing yet."""
    user = add_member(organisation, "viewer", make_user())
    make_role(organisation, "base")
    make_role(organisation, "custom", Grant("admin", "*"), parent="base")
    assignments.set_roles(organisation, user.pk, ["custom"], actor=PLATFORM)
    return user


@pytest.mark.covers("F75")
@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__.strip("_"))
def test_in_every_process_of_the_running_product(
    product: Product, change: Callable[[Organisation, User], None]
) -> None:
    """`web` has several processes with a cache each; all are warm, then something changes outside
    of them all, and no request that begins afterwards is answered from the past."""
    assert settings.WEB_WORKERS >= 2
    organisation = product.signed_up("Coherent").organisation
    user = _administrator(organisation)
    secret = make_token(organisation, "settings:read", user=user)
    headers = {"Host": organisation.instance_host, "X-API-Token": secret}

    def ask(_: int = 0) -> int:
        # A connection each: the kernel hands them to whichever process is free.
        address = f"http://127.0.0.1:{product.web[1]}{ROLES}"
        return httpx.get(address, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {200}
        change(organisation, user)
        assert not set(pool.map(ask, range(40))) & {200, 500, 503}


@pytest.mark.covers("F75")
@pytest.mark.django_db
def test_saving_an_old_copy_of_the_organisation_brings_no_old_rights_back() -> None:
    """Every verb saves the organisation; one that read it earlier must not turn its version back."""
    organisation = make_organisation()
    person = add_member(organisation, "admin")
    stale = Organisation.objects.get(pk=organisation.pk)
    assert rights_of(stale, person.pk).allow("write", "settings", {})
    membership.change_role(organisation=organisation, user=person, role="viewer", actor=PLATFORM)
    stale.display_name = "Changed meanwhile"
    stale.save()
    now = Organisation.objects.get(pk=organisation.pk)
    assert now.display_name == "Changed meanwhile"
    assert not rights_of(now, person.pk).allow("write", "settings", {})
