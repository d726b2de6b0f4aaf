"""The one door of every organisation's host, pages and API alike (design section 2).

Each request passes settings.REQUEST_CHECKS in order: hosted gate, authenticate, membership, limits,
organisation state, entitlement, permission. Until the second has passed, an unknown organisation,
a known one and one in any state answer the same bytes (H22).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.utils.module_loading import import_string
from rest_framework.views import APIView

from tenants import advice
from tenants.accounts import sso_people
from tenants.hosts import unavailable
from tenants.http import bodies, problems
from tenants.models import MemberRole, Membership, Organisation, State, User
from tenants.reads import Read
from tenants.schemas import SchemaError, in_schema

log = logging.getLogger(__name__)
_SEAT = Read(
    lambda organisation, user: Membership.objects.filter(
        organisation=organisation, user=user
    ).select_related("user"),
    organisation=UUID(int=1),
    user=UUID(int=2),
)
_Declared = TypeVar("_Declared", bound=Callable[..., Any])
_Check = TypeVar("_Check", bound=Callable[..., None])


class Token(Protocol):
    """What the door's checks may know of an API token (it is rbac's)."""

    id: UUID
    user: UUID
    name: str
    scopes: Any
    purpose: str
    expires_at: datetime | None


@dataclass(frozen=True)
class Requirement:
    """What a handler asks for: an action on a resource, and a capability of the plan."""

    action: str
    resource: str
    capability: str | None = None


@dataclass
class Knock:
    """One request at the door. The checks fill in who it is.

    `looking` is set where staff ask why somebody is refused (`tenants.why`): then a check answers
    as always, and spends, counts and notes nothing.
    """

    request: HttpRequest
    organisation: Organisation | None
    requirement: Requirement
    is_api: bool = True
    user: User | None = None
    token: Token | None = None
    membership: Membership | None = None
    decide: Callable[[str, str], bool] | None = None
    headers: dict[str, str] = field(default_factory=dict)  # of the answer, whatever it says
    looking: bool = False

    def may(self, action: str, resource: str) -> bool:
        """Whether this caller may also do that: pages hide what they may not."""
        return self.decide is not None and self.decide(action, resource)

    # The same, for code behind the check that filled it in; before it they refuse.

    @property
    def known_organisation(self) -> Organisation:
        if self.organisation is None:
            raise unauthenticated()
        return self.organisation

    @property
    def known_user(self) -> User:
        if self.user is None:
            raise unauthenticated()
        return self.user

    @property
    def known_membership(self) -> Membership:
        if self.membership is None:
            raise unauthenticated()
        return self.membership


class Refused(Exception):
    """The door stays shut. `body` is merged into the answer, or is a ready answer of its own."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        body: dict[str, Any] | HttpResponse | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.body = body


def unauthenticated() -> Refused:
    """The one answer to no credentials, wrong ones, and an organisation that is not there."""
    return Refused(401, "authentication_required", "Sign in, or send an API token.")


def requires(
    action: str, resource: str, capability: str | None = None
) -> Callable[[_Declared], _Declared]:
    """Declares on a handler method or page what its caller must be allowed to do.

    Actions and resources: hosted-contract section 10.3.
    """

    def declare(handler: _Declared) -> _Declared:
        handler.requirement = Requirement(action, resource, capability)  # type: ignore[attr-defined]
        return handler

    return declare


class TenantAPIView(APIView):
    """Base of the organisation's API. Every handler method carries `@requires(...)`.

    After the checks the handler runs in the organisation's schema, with `self.knock`. With
    `by_contract = True` errors have the runtime's bodies (hosted-contract section 1.2).
    """

    by_contract = False
    body_limit = bodies.LIMIT
    permission_classes: Any = []
    knock: Knock

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        handler = getattr(self, (request.method or "").lower(), None)
        if request.method not in self.handled_methods() or handler is None:
            wrong = HttpResponse("Method not allowed\n", status=405, content_type="text/plain")
            wrong["Allow"] = ", ".join(self.handled_methods())
            return wrong
        self.knock = _knock(request, handler, is_api=True)
        answer = self._behind_the_checks(request, *args, **kwargs)
        for name, value in self.knock.headers.items():
            answer.headers[name] = value
        return answer

    def _behind_the_checks(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        try:
            pass_checks(self.knock)
            bodies.refuse_oversize(request, limit=self.body_limit)
            with in_schema(self.knock.known_organisation):
                return super().dispatch(request, *args, **kwargs)
        except Refused as refused:
            return self.refusal(refused)
        except problems.Problem as problem:
            return problems.answer(problem, by_contract=self.by_contract)
        except (DatabaseError, SchemaError):
            log.exception("the organisation cannot be read")
            return _never_cached(unavailable())

    @classmethod
    def handled_methods(cls) -> list[str]:
        """The HTTP methods that this view has a handler for; HEAD comes with GET."""
        names = [n.upper() for n in cls.http_method_names if n != "options" and hasattr(cls, n)]
        return [*names, "HEAD"] if "GET" in names else names

    def body(self, *, known: frozenset[str] | None = None) -> dict[str, Any]:
        """The request's JSON object; see tenants.http.bodies.json_object."""
        return bodies.json_object(self.knock.request, limit=self.body_limit, known=known)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """A handler may refuse as the checks do."""
        if isinstance(exc, Refused):
            return self.refusal(exc)
        answer: HttpResponse = super().handle_exception(exc)
        return answer

    def refusal(self, refused: Refused) -> HttpResponse:
        if isinstance(refused.body, HttpResponse):
            return refused.body
        extra = refused.body or {}
        if self.by_contract:
            body = {"error": refused.code, "message": refused.message, **extra}
            answer: HttpResponse = JsonResponse(body, status=refused.status)
        else:
            answer = problems.response(refused.status, refused.code, refused.message, **extra)
        if refused.status == 401:
            answer["WWW-Authenticate"] = "Bearer"
        return _never_cached(answer)


def tenant_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Makes `view(request, knock, ...)` a page of the organisation's host behind the door.

    The view below it must carry `@requires(...)`. Who is not signed in is sent to the base
    domain, which signs in and hands over to this host.
    """

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        knock = _knock(request, view, is_api=False)
        request.knock = knock  # type: ignore[attr-defined]  # the frame shows what it may open
        try:
            pass_checks(knock)
            with in_schema(knock.known_organisation):
                answer = view(request, knock, *args, **kwargs)
        except Refused as refused:
            answer = _refused_page(request, refused)
        except problems.Problem as problem:
            why = problem.detail or problem.title
            answer = _refused_page(request, Refused(problem.status, problem.code, why))
        except (DatabaseError, SchemaError):
            log.exception("the organisation cannot be read")
            answer = unavailable()
        for name, value in knock.headers.items():
            answer.headers[name] = value
        return _never_cached(answer)

    page.behind_the_door = True  # type: ignore[attr-defined]
    return page


def pass_checks(knock: Knock) -> None:
    """Runs settings.REQUEST_CHECKS in order; raises Refused at the first that refuses."""
    for check in _checks(tuple(settings.REQUEST_CHECKS)):
        check(knock)


def check_organisation(request: HttpRequest, *, capability: str) -> None:
    """Only those of REQUEST_CHECKS that ask about the organisation and about nobody in it: hosted
    gate, state, entitlement. For its single sign-on, where the caller is not known yet."""
    knock = Knock(
        request=request,
        organisation=getattr(request, "organisation", None),
        requirement=Requirement("read", "organisation", capability),
        is_api=False,
    )
    for check in _checks(tuple(settings.REQUEST_CHECKS)):
        if getattr(check, "about_the_organisation", False):
            check(knock)


def about_the_organisation(check: _Check) -> _Check:
    """Marks a check that needs to know nobody."""
    check.about_the_organisation = True  # type: ignore[attr-defined]
    return check


# --- the checks that need no other room -------------------------------------------------------------


@advice.explained("Hosted mode is on", advice.hosted_mode)
@about_the_organisation
def hosted_gate(knock: Knock) -> None:
    """Off, the whole host is not there: plain text, no JSON (hosted-contract section 1.2)."""
    if not settings.HOSTED_MODE:
        raise Refused(404, "not_found", "Not found", plain_not_found())


@advice.explained("The person is a member and came the required way", advice.membership)
def membership(knock: Knock) -> None:
    """Who is signed in must be a member now; equal e-mail addresses never count (section 7.3)."""
    if knock.membership is None:
        knock.membership = seat_of(knock.known_organisation, knock.known_user.pk)
    if knock.membership is None:
        raise Refused(403, "access_denied", "You are not a member of this organisation.")
    knock.user = knock.membership.user
    if knock.token is None:
        _came_the_required_way(knock)


def _came_the_required_way(knock: Knock) -> None:
    """While single sign-on is required, only the owner's session may come from the base domain; so
    a former owner's ends with the transfer. API tokens stay what they are."""
    if not knock.known_organisation.sso_required or sso_people.came_by_sso(knock.request):
        return
    if knock.known_membership.role != MemberRole.OWNER:
        raise Refused(
            401, "sso_required", "This organisation takes its members by single sign-on only."
        )


@advice.explained("The organisation is active", advice.state)
@about_the_organisation
def organisation_state(knock: Knock) -> None:
    """Only an active organisation is served. The state was read at the start of this very request;
    one that cannot be read is no excuse: that is 503 (H9)."""
    state = knock.known_organisation.state
    if state in (State.SUSPENDED, State.PENDING_DELETION):
        raise Refused(403, "org_suspended", "This organisation is suspended.")
    if state != State.ACTIVE:
        raise Refused(403, "org_not_ready", "This organisation is not ready.")


def seat_of(organisation: Organisation, user: UUID) -> Membership | None:
    """A person's membership, with the person, in one query."""
    return _SEAT.first(organisation=organisation.pk, user=user)


def plain_not_found() -> HttpResponse:
    return HttpResponse("Not found\n", status=404, content_type="text/plain")


# --- inside -----------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _checks(paths: tuple[str, ...]) -> tuple[Callable[[Knock], None], ...]:
    return tuple(import_string(path) for path in paths)


def _knock(request: HttpRequest, handler: Any, *, is_api: bool) -> Knock:
    requirement = getattr(handler, "requirement", None)
    if not isinstance(requirement, Requirement):
        raise TypeError(f"{handler!r} is behind the door and does not say what it requires.")
    return Knock(
        request=request,
        organisation=getattr(request, "organisation", None),
        requirement=requirement,
        is_api=is_api,
    )


def _refused_page(request: HttpRequest, refused: Refused) -> HttpResponse:
    if isinstance(refused.body, HttpResponse):
        return refused.body
    if refused.code == "sso_required":
        return HttpResponseRedirect(sso_people.SIGN_IN)
    if refused.status == 401:
        if request.COOKIES.get(sso_people.HINT_COOKIE):
            # Their own way in; it leads on to the other one where it is shut.
            again = refused.code == "fresh_session_required" and sso_people.came_by_sso(request)
            if again or not request.user.is_authenticated:
                return HttpResponseRedirect(sso_people.SIGN_IN + ("?again=1" if again else ""))
        label = getattr(request, "organisation_label", None) or ""
        way_in = f"/o/{label}/"
        if refused.code == "fresh_session_required":
            back = quote(f"{way_in}?to={quote(_page_of(request), safe='')}", safe="")
            way_in = f"/accounts/reauthenticate/?next={back}"
        return HttpResponseRedirect(settings.PUBLIC_URL + way_in)
    context = {"code": refused.code, "message": refused.message, "status": refused.status}
    return render(request, "tenants/refused.html", context, status=refused.status)


def _page_of(request: HttpRequest) -> str:
    """The path of the page that somebody is at: a form is sent again from there, after they
    confirmed who they are."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    return urlsplit(request.headers.get("Referer", "")).path or "/"


def _never_cached(answer: HttpResponse) -> HttpResponse:
    add_never_cache_headers(answer)
    return answer
