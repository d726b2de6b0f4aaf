"""The staff admin's part of the matrix: every page of every registered model, and what stands beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, URLResolver, reverse

from tests.admin.staff import proof
from tests.matrix import staff_admin
from tests.matrix.things import BASE, MAKERS, Asker, Things
from tests.matrix.world import World, make, send, undone

NOBODY = [
    "anonymous", "outsider", "stranger", "viewer", "editor", "admin", "owner", "suspended",
    "phone", "token",
]  # fmt: skip
# Django's own; the sign-in page is no secret and stands in tests/admin.
UNUSED = {None, "view_on_site", "password_change_done", "logout", "login", "password_change"}
Statuses = tuple[int, int, int, int]


def kinds() -> Iterator[tuple[str, str, Statuses]]:
    for line in staff_admin.MODEL.split("\n"):
        if words := line.split():
            yield words[0], words[1], _statuses(words[2:])


def others() -> Iterator[tuple[str, str, str, Statuses]]:
    for line in staff_admin.OTHERS.split("\n"):
        if words := line.split():
            name, _, argument = words[1].partition(":")
            yield words[0], name, argument, _statuses(words[2:])


def _statuses(words: list[str]) -> Statuses:
    none, may_not, may, root = map(int, words)
    return none, may_not, may, root


def differences(world: World, what: str, method: str, path: str, expected: Statuses) -> list[str]:
    """`expected` for nobody, for staff as they are here (twice), and for a superuser."""
    columns = [(name, expected[0]) for name in NOBODY]
    columns += [("staff", expected[1]), ("superuser", expected[3])]
    found = []
    for column, status in columns:
        with undone():
            answer = send(world.askers[column], BASE, method, path, "")
        if answer.status_code != status:
            found.append(f"{method} {what}: {column} {status}, is {answer.status_code}")
    return found


@pytest.mark.django_db
def test_pages_of_models() -> None:
    world, found = make(), []
    proof()
    for model in admin.site._registry:
        label = model._meta.label_lower
        row = model._default_manager.order_by("pk").first()
        for method, kind, usual in kinds():
            path = staff_admin.PATHS[kind]
            none, may_not, may, root = staff_admin.EXCEPT.get((method, label, kind), usual)
            if row is None and "{}" in path and root == 200:
                continue  # nothing to look at; who may not is refused by the other kinds
            staff = may if label in staff_admin.MAY_SEE else may_not
            whole = f"/admin/{label.replace('.', '/')}/{path.format(row.pk if row else 0)}"
            expected = (none, staff, staff, root)
            found += differences(world, f"{label} {kind}", method, whole, expected)
    assert not found, "\n".join(found)


@pytest.mark.django_db
def test_pages_beside_them() -> None:
    world, found = make(), []
    known, asker = Things(), Asker(world.acme)
    for method, name, argument, expected in others():
        arguments = [
            known.get(each, asker) if each in MAKERS else each
            for each in argument.split(",")
            if each
        ]
        path = reverse(f"admin:{name}", args=arguments)
        found += differences(world, name, method, path, expected)
    assert not found, "\n".join(found)


def test_no_admin_page_is_missing() -> None:
    prefixes = [
        f"{m._meta.app_label}_{m._meta.model_name}_{kind}"
        for m in admin.site._registry
        for kind in staff_admin.PATHS
    ]
    listed = {*prefixes, *(name for _, name, _, _ in others())} | UNUSED
    missing = sorted({name for name in _names(admin.site.get_urls()) if name not in listed})
    assert not missing, f"no row for: {missing}"


def test_no_admin_row_is_stale() -> None:
    names = set(_names(admin.site.get_urls()))
    stale = [name for _, name, _, _ in others() if name not in names]
    assert not stale, stale
    with pytest.raises(NoReverseMatch):
        reverse("admin:tenants_organisation_impersonate", args=["0"])


def _names(patterns: Any) -> Iterator[Any]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from _names(each.url_patterns)
        else:
            yield each.name
