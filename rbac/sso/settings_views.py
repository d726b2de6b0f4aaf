"""Single sign-on settings, for the person who sets it up.

    /sso/settings                      the providers, and whether members must use them
    /sso/settings/new                  a new provider
    /sso/settings/<id>                 what it says of itself, groups -> roles, its state
    /sso/settings/<id>/edit            its settings

Changes ask for a sign-in of the last five minutes, before a form is filled in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit.actors import Actor
from rbac.models import Role
from rbac.sso import claims, discovery, flow, mapping, providers, requirement, trial, values
from rbac.sso.forms import ProviderForm
from rbac.sso.refusals import SsoRefused
from tenants.accounts import recent
from tenants.door import Knock, requires, tenant_page
from tenants.http.problems import Problem
from tenants.models import SsoIdentity

HOME = "/sso/settings"
SPARE_ROWS = 3  # empty rows of the mapping, for new groups
_View = Callable[..., HttpResponse]


def freshly(view: _View) -> _View:
    """For who proved who they are within five minutes; the door sends others to do so."""

    @wraps(view)
    def page(request: HttpRequest, knock: Knock, *args: str, **kwargs: str) -> HttpResponse:
        recent.require(knock)
        return view(request, knock, *args, **kwargs)

    return page


@require_safe
@tenant_page
@requires("admin", "users", capability="sso")
def home(request: HttpRequest, knock: Knock) -> HttpResponse:
    organisation = knock.known_organisation
    listed = providers.listed(organisation)
    context = {
        "organisation": organisation,
        "providers": listed,
        "on": any(provider.enabled for provider in listed),
        "people": SsoIdentity.objects.filter(organisation=organisation).count(),
    }
    return render(request, "sso/settings.html", context)


@require_POST
@tenant_page
@requires("admin", "users", capability="sso")
@freshly
def required(request: HttpRequest, knock: Knock) -> HttpResponse:
    """POST on=1 or 0: whether members must come by single sign-on."""
    on = request.POST.get("on") == "1"
    try:
        requirement.require(organisation=knock.known_organisation, on=on, actor=_actor(knock))
    except Problem as problem:
        messages.error(request, problem.title)
    else:
        text = "Members must come by single sign-on now; you as owner can always sign in."
        messages.success(request, text if on else "Single sign-on is optional now.")
    return HttpResponseRedirect(HOME, status=303)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page
@requires("admin", "users", capability="sso")
@freshly
def new(request: HttpRequest, knock: Knock) -> HttpResponse:
    form = ProviderForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and form.values is not None:
        try:
            provider = providers.create(
                organisation=knock.known_organisation,
                slug=form.cleaned_data["slug"],
                values=form.values,
                actor=_actor(knock),
            )
        except Problem as problem:
            form.add_error("slug" if problem.code == "duplicate_id" else None, problem.title)
        else:
            return HttpResponseRedirect(f"{HOME}/{provider.slug}", status=303)
    context = {"form": form, "callback": flow.callback_address(knock.known_organisation, "…")}
    return render(request, "sso/edit.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page
@requires("admin", "users", capability="sso")
@freshly
def edit(request: HttpRequest, knock: Knock, slug: str) -> HttpResponse:
    provider = trial.known(knock, slug)
    form = ProviderForm(request.POST if request.method == "POST" else None, stored=provider)
    if request.method == "POST" and form.is_valid() and form.values is not None:
        try:
            providers.update(provider=provider, values=form.values, actor=_actor(knock))
        except values.Invalid as invalid:
            form.add_error(invalid.field if invalid.field in form.fields else None, invalid.title)
        except Problem as problem:
            form.add_error(None, problem.title)
        else:
            messages.success(request, "Saved.")
            return HttpResponseRedirect(f"{HOME}/{provider.slug}", status=303)
    context = {"form": form, "provider": provider}
    return render(request, "sso/edit.html", context, status=400 if form.errors else 200)


@require_safe
@tenant_page
@requires("admin", "users", capability="sso")
def provider_page(request: HttpRequest, knock: Knock, slug: str) -> HttpResponse:
    """Asks the provider what it says of itself, so that a mistake shows here first."""
    return _provider_page(request, knock, slug)


@require_POST
@tenant_page
@requires("admin", "users", capability="sso")
@freshly
def switch(request: HttpRequest, knock: Knock, slug: str) -> HttpResponse:
    """POST on=1 or 0: whether people can sign in through it."""
    provider = trial.known(knock, slug)
    try:
        if request.POST.get("on") == "1":
            providers.enable(provider=provider, actor=_actor(knock))
            messages.success(request, f"{provider.name} is on: people find it at /sso/.")
        else:
            providers.disable(provider=provider, actor=_actor(knock))
            messages.success(request, f"{provider.name} is off.")
    except Problem as problem:
        messages.error(request, problem.title)
    return HttpResponseRedirect(f"{HOME}/{provider.slug}", status=303)


@require_POST
@tenant_page
@requires("admin", "users", capability="sso")
@freshly
def delete(request: HttpRequest, knock: Knock, slug: str) -> HttpResponse:
    provider = trial.known(knock, slug)
    try:
        providers.delete(provider=provider, actor=_actor(knock))
    except Problem as problem:
        messages.error(request, problem.title)
        return HttpResponseRedirect(f"{HOME}/{provider.slug}", status=303)
    messages.success(request, f"{provider.name} is deleted. Its people stay members.")
    return HttpResponseRedirect(HOME, status=303)


@require_POST
@tenant_page
@requires("admin", "users", capability="sso")
@freshly
def groups(request: HttpRequest, knock: Knock, slug: str) -> HttpResponse:
    """POST group=…&role=… in pairs; a pair without a group is left out."""
    provider = trial.known(knock, slug)
    names, roles = request.POST.getlist("group"), request.POST.getlist("role")
    pairs = [(n.strip(), r) for n, r in zip(names, roles, strict=False) if n.strip()]
    try:
        if len({claims.folded(name) for name, _ in pairs}) != len(pairs):
            raise values.Invalid("group", "A group stands there twice.")
        wanted = values.mapping(dict(pairs))
        providers.set_mapping(provider=provider, wanted=wanted, actor=_actor(knock))
    except Problem as problem:
        return _provider_page(
            request, knock, slug, typed=pairs, error=problem.title, status=problem.status
        )
    messages.success(request, "Saved. It counts from each person's next sign-in on.")
    return HttpResponseRedirect(f"{HOME}/{provider.slug}", status=303)


def _provider_page(
    request: HttpRequest,
    knock: Knock,
    slug: str,
    *,
    typed: list[tuple[str, str]] | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    provider = trial.known(knock, slug)
    facts, failure = None, ""
    try:
        facts = discovery.read(provider.issuer)
    except SsoRefused as refused:
        failure = refused.detail or refused.reason.text
    stored = mapping.of(provider)
    context = {
        "organisation": knock.known_organisation,
        "provider": provider,
        "facts": facts,
        "failure": failure,
        "no_s256": bool(
            facts and facts.challenge_methods and "S256" not in facts.challenge_methods
        ),
        "callback": flow.callback_address(knock.known_organisation, provider.slug),
        "stored": stored,
        "rows": [*(list(stored.items()) if typed is None else typed), *[("", "")] * SPARE_ROWS],
        "roles": Role.objects.order_by("-is_builtin", "name"),
        "error": error,
        "people": SsoIdentity.objects.filter(provider=provider).order_by("-last_login_at")[:20],
    }
    return render(request, "sso/provider.html", context, status=status)


def _actor(knock: Knock) -> Actor:
    return Actor.person(knock.known_user)
