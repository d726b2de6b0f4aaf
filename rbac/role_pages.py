"""Pages of an organisation's host: its roles, one role, and the roles of one person."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit.actors import Actor
from rbac import assignments, changes, people_records, role_specs, roles
from rbac.models import Assignment, Role
from rbac.role_form import RoleForm, spare, words
from rbac.role_tree import Tree
from tenants.door import Knock, requires, tenant_page
from tenants.http import etags
from tenants.http.problems import Problem
from tenants.models import MemberRole, Membership

SHOWN_PEOPLE = 50


@require_safe
@tenant_page
@requires("read", "users")
def listed(request: HttpRequest, knock: Knock) -> HttpResponse:
    tree = Tree.load()
    holders = dict(Assignment.objects.values_list("role_id").annotate(Count("pk")))
    rows = [
        {"role": role, "people": holders.get(role.pk, 0), "says": _says(tree, role.pk)}
        for role in Role.objects.select_related("parent").order_by("-is_builtin", "name", "pk")
    ]
    context = {
        "organisation": knock.known_organisation,
        "rows": rows,
        "custom": sum(not row["role"].is_builtin for row in rows),
        "may_change": knock.may("admin", "users"),
    }
    return render(request, "rbac/roles.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page
@requires("admin", "users", capability="rbac")
def make(request: HttpRequest, knock: Knock) -> HttpResponse:
    """GET the empty editor; POST makes the role, or (`more`) adds empty rows."""
    if request.method != "POST":
        return _editor(request, knock, RoleForm(rows=spare(0)))
    form = RoleForm.posted(request.POST)
    if "more" in request.POST:
        return _editor(request, knock, form)
    try:
        role_id = role_specs.role_id(form.id)
        spec = role_specs.spec(form.body(), name=role_id)
        made = roles.create(knock.known_organisation, role_id, spec, actor=_actor(knock))
    except Problem as problem:
        form.error = problem.detail or problem.title
        return _editor(request, knock, form, status=problem.status)
    messages.success(request, f"The role {made['name']} is made. Give it to people now.")
    return HttpResponseRedirect(f"/roles/{role_id}", status=303)


@require_safe
@tenant_page
@requires("read", "users")
def one(request: HttpRequest, knock: Knock, role_id: str) -> HttpResponse:
    return _role_page(request, knock, roles.found(role_id))


@require_POST
@tenant_page
@requires("admin", "users", capability="rbac")
def edit(request: HttpRequest, knock: Knock, role_id: str) -> HttpResponse:
    role = roles.found(role_id)
    form = RoleForm.posted(request.POST)
    form.id = role_id
    if "more" in request.POST:
        return _role_page(request, knock, role, form)
    try:
        spec = role_specs.spec(form.body() | {"priority": role.priority}, name=role_id)
        changed = roles.update(
            knock.known_organisation,
            role_id,
            spec,
            actor=_actor(knock),
            expecting=lambda current: _expect(form.seen, current),
        )
    except Problem as problem:
        form.error = problem.detail or problem.title
        return _role_page(request, knock, role, form, status=problem.status)
    messages.success(request, f"{changed['name']} is changed, for everybody who has it, at once.")
    return HttpResponseRedirect(f"/roles/{role_id}", status=303)


@require_POST
@tenant_page
@requires("admin", "users", capability="rbac")
def delete(request: HttpRequest, knock: Knock, role_id: str) -> HttpResponse:
    try:
        roles.delete(knock.known_organisation, role_id, actor=_actor(knock))
    except Problem as problem:
        messages.error(request, problem.detail or problem.title)
        return HttpResponseRedirect(f"/roles/{role_id}", status=303)
    messages.success(request, f"The role {role_id} is deleted.")
    return HttpResponseRedirect("/roles", status=303)


@require_safe
@tenant_page
@requires("read", "users")
def of_person(request: HttpRequest, knock: Knock, user_id: UUID) -> HttpResponse:
    return _person_page(request, knock, user_id)


@require_POST
@tenant_page
@requires("admin", "users", capability="rbac")
def give(request: HttpRequest, knock: Knock, user_id: UUID) -> HttpResponse:
    """{role: [ids], seen}: the whole set."""
    try:
        wanted = role_specs.role_ids(request.POST.getlist("role"))
        assignments.set_roles(
            knock.known_organisation,
            user_id,
            wanted,
            actor=_actor(knock),
            expecting=lambda current: _expect(request.POST.get("seen", ""), current),
        )
    except Problem as problem:
        if problem.status == 404:
            raise
        error = problem.detail or problem.title
        return _person_page(request, knock, user_id, error=error, status=problem.status)
    messages.success(request, "The roles are changed. They count from the next request on.")
    return HttpResponseRedirect(f"/people/{user_id}/roles", status=303)


def _editor(
    request: HttpRequest, knock: Knock, form: RoleForm, *, status: int = 200
) -> HttpResponse:
    context = {
        "organisation": knock.known_organisation,
        "form": form,
        "parents": Role.objects.order_by("-is_builtin", "name"),
    }
    return render(request, "rbac/role_new.html", context, status=status)


def _role_page(
    request: HttpRequest,
    knock: Knock,
    role: Role,
    form: RoleForm | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    tree, record = Tree.load(), roles.record_of(role)
    mine = role.pk in tree.above(changes.roles_held(knock.known_user.pk))
    holders = Assignment.objects.filter(role=role).values("user")
    people = Membership.objects.filter(organisation=knock.known_organisation, user__in=holders)
    may_change = knock.may("admin", "users") and not role.is_builtin
    context = {
        "organisation": knock.known_organisation,
        "role": role,
        "says": _says(tree, role.pk),
        "inherits": [
            {"role": above, "says": _says(tree, above)} for above in tree.line(role.pk)[1:]
        ],
        "people": people.select_related("user").order_by("added_at")[:SHOWN_PEOPLE],
        "people_count": holders.count(),
        "mine": mine,
        "may_edit": may_change and not mine,
        "is_parent": len(tree.below(role.pk)) > 1,
        "form": form or RoleForm.of(record, etags.of(record)),
        "parents": Role.objects.exclude(pk__in=tree.below(role.pk)).order_by("-is_builtin", "name"),
    }
    return render(request, "rbac/role.html", context, status=status)


def _person_page(
    request: HttpRequest, knock: Knock, user_id: UUID, *, error: str = "", status: int = 200
) -> HttpResponse:
    organisation = knock.known_organisation
    member = people_records.member(organisation, user_id)
    record = people_records.shower(organisation, [member])(member)
    tree, held = Tree.load(), changes.roles_held(user_id)
    chosen = request.POST.getlist("role") if error else held
    me = user_id == knock.known_user.pk
    context: dict[str, Any] = {
        "organisation": organisation,
        "member": member,
        "name": record.get("displayName") or record.get("email") or record["username"],
        "me": me,
        "is_owner": member.role == MemberRole.OWNER,
        "may_give": knock.may("admin", "users") and not me,
        "choices": [
            {"role": role, "chosen": role.pk in chosen, "says": _says(tree, role.pk)}
            for role in Role.objects.order_by("-is_builtin", "name", "pk")
        ],
        "effective": [
            {"says": words(grant), "deny": grant.effect != "allow", "role": role, "held": held}
            for role in sorted(tree.above(held))
            for grant in tree.nodes[role].grants
        ],
        "seen": etags.of(held),
        "error": error,
    }
    return render(request, "rbac/person_roles.html", context, status=status)


def _says(tree: Tree, role_id: str) -> list[dict[str, Any]]:
    """The role's own permissions, in words."""
    return [
        {"words": words(grant), "deny": grant.effect != "allow"}
        for grant in tree.nodes[role_id].grants
    ]


def _expect(seen: str, current: Any) -> None:
    if seen != etags.of(current):
        raise Problem(
            412, "precondition_failed", "Somebody changed it meanwhile. Look again, then decide."
        )


def _actor(knock: Knock) -> Actor:
    return Actor.person(knock.known_user)
