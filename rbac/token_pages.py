"""Pages of an organisation's host: API tokens of the person, and of all for who administers people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from rbac import scopes, token_owners, tokens
from rbac.api import actor_of
from rbac.models import ApiToken
from rbac.token_form import TokenForm
from tenants.door import Knock, Refused, requires, tenant_page
from tenants.http import bodies
from tenants.http.problems import Problem
from tenants.models import User

SHOWN: Final = 100  # of other people's; the API pages through more


@dataclass(frozen=True)
class Row:
    """A token for people: `may` are its scopes in words, `person` whose it is."""

    token: ApiToken
    may: str
    person: str


@require_http_methods(["GET", "HEAD", "POST"])
@tenant_page
@requires("read", "settings")
def tokens_page(request: HttpRequest, knock: Knock) -> HttpResponse:
    """GET lists; POST makes a token and shows its secret, this once."""
    by_session(knock)
    if request.method != "POST":
        return _shown(request, knock, TokenForm(knock))
    form = TokenForm(knock, request.POST)
    if not form.is_valid():
        return _shown(request, knock, form, status=400)
    try:
        token, secret = tokens.issue(
            knock.known_organisation,
            user=knock.known_user,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=form.expires_at(),
            actor=actor_of(knock),
        )
    except Problem as problem:
        form.add_error(None, problem.title)
        return _shown(request, knock, form, status=problem.status)
    context = {
        "organisation": knock.known_organisation,
        "row": _row(token, {knock.known_user.pk: knock.known_user}),
        "secret": secret,
        "example_host": request.get_host(),
        "scheme": request.scheme,
    }
    answer = render(request, "rbac/token_made.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
@tenant_page
@requires("read", "settings")
def change_token(request: HttpRequest, knock: Knock, token_id: UUID) -> HttpResponse:
    """POST {what: revoke} or {what: rename, name}."""
    by_session(knock)
    try:
        token = token_owners.reachable(knock, token_id)
        changed(request, knock, token)
    except Problem as problem:
        messages.error(request, problem.title)
    return HttpResponseRedirect("/tokens")


def changed(request: HttpRequest, knock: Knock, token: ApiToken) -> None:
    """Revokes or renames what a page's form asks for, and says so on the next page."""
    organisation, actor = knock.known_organisation, actor_of(knock)
    if request.POST.get("what") != "rename":
        tokens.revoke(organisation, token.pk, actor=actor)
        messages.success(request, f"{token.name} is removed and shut out.")
        return
    name = bodies.one_line(request.POST.get("name", ""), longest=120)
    if not name:
        messages.error(request, "It needs a name.")
        return
    try:
        tokens.rename(organisation, token.pk, name=name, actor=actor)
    except tokens.TokenMissing:
        messages.error(request, f"{token.name} has ended and keeps its name.")
    else:
        messages.success(request, f"{token.name} is called {name} now.")


def by_session(knock: Knock) -> None:
    """Pages are for people; a token that fetched one would see forms it may not send."""
    if knock.token is not None:
        raise Refused(403, "session_required", "This page is for signed-in people.")


def people_of(rows: Iterable[ApiToken]) -> dict[UUID, User]:
    """Whose tokens these are, in one query."""
    return User.objects.in_bulk({token.user for token in rows})


def _shown(
    request: HttpRequest, knock: Knock, form: TokenForm, *, status: int = 200
) -> HttpResponse:
    mine = knock.known_user.pk
    living = tokens.living(purpose="").order_by("-created_at", "pk")
    ended = ApiToken.objects.filter(purpose="", user=mine).exclude(pk__in=living.values("pk"))
    own = list(living.filter(user=mine))
    others: list[ApiToken] = []
    more = False
    if token_owners.administers(knock):
        others = list(living.exclude(user=mine)[: SHOWN + 1])
        more = len(others) > SHOWN
    people = people_of(others) | {mine: knock.known_user}
    context: dict[str, Any] = {
        "organisation": knock.known_organisation,
        "form": form,
        "own": [_row(token, people) for token in own],
        "others": [_row(token, people) for token in others[:SHOWN]],
        "more": more,
        "ended": [_row(token, people) for token in ended.order_by("-created_at")[:SHOWN]],
    }
    return render(request, "rbac/tokens.html", context, status=status)


def _row(token: ApiToken, people: dict[UUID, User]) -> Row:
    person = people.get(token.user)
    return Row(token, scopes.words(token.scopes), str(person) if person else "somebody who left")
