"""Which host leads where, and on which host a session is good (design section 5, F16).

    base domain               the platform: ROOT_URLCONF
    <label>.<base domain>     an organisation: TENANT_URLCONF, whether or not the label is taken
    anything else             a plain 404

django-tenants' own middleware is not used: it switches schemas per request and only goes back at
the next one (F23). Here a request stays in `public` until the door has let it in.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port

from tenants.accounts.sessions import HOST_KEY, SessionStore
from tenants.http import bodies, problems
from tenants.models import LABEL, Organisation, State
from tenants.reads import Read

# Names that could be taken for the platform's own; never given out.
RESERVED_LABELS = frozenset(
    """
    about abuse account accounts acme admin administrator api app apps assets auth autoconfig
    autodiscover backup beta billing blog cdn cloud config console control dashboard default
    dev dns docs download downloads email example ftp git go grafana health help home
    hostmaster imap info internal invite legal localhost login logout mail metrics mobile
    monitor news noc ns1 ns2 oauth oidc onboarding ops pair phone ping platform pop postmaster
    privacy prod production prometheus proxy pulse pulsecloud register registry relay root
    sales saml security server setup shop sign-in sign-up signin signup smtp sso staff staging
    static status stripe support system test tls update updates vpn webhook webhooks webmaster
    wiki wpad www
    """.split()  # noqa: SIM905
)

_LABEL = re.compile(LABEL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The label is unique among them.
_BY_LABEL = Read(
    lambda label: (
        Organisation.objects.filter(label=label)
        .exclude(state__in=[State.DELETED, State.EXPIRED])
        .select_related(*settings.READ_WITH_ORGANISATION)
        .order_by()
    ),
    label="label",
)
_Handler = Callable[[HttpRequest], HttpResponse]


def instance_host(label: str) -> str:
    """The host name of an organisation, as signed into its leases: no port, lower case (F78)."""
    return f"{label}.{settings.BASE_DOMAIN}"


def valid_label(label: str) -> bool:
    """3 to 40 of a-z, 0-9 and hyphens, no hyphen at either end, not reserved."""
    return bool(_LABEL.fullmatch(label)) and label not in RESERVED_LABELS


def host_of(request: HttpRequest) -> str:
    """The host a request is for, lower case, without port; empty when the header is no host."""
    try:
        return split_domain_port(request.get_host())[0]
    except DisallowedHost:
        return ""


def label_of(host: str) -> str | None:
    """The organisation label of a host under the base domain, or None."""
    label, dot, rest = host.partition(".")
    return label if dot and rest == settings.BASE_DOMAIN and valid_label(label) else None


def organisation_at(label: str) -> Organisation | None:
    """The organisation that has this label now. Deleted and expired ones are unknown."""
    return _BY_LABEL.first(label=label)


class HostMiddleware:
    """Sets `request.organisation_label` and `request.organisation` (None on the base domain).

    An unknown label is no 404 here: to an anonymous caller it must look like a known one (H22).
    """

    def __init__(self, get_response: _Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        host = host_of(request)
        request.organisation_label = label = label_of(host)  # type: ignore[attr-defined]
        request.organisation = None  # type: ignore[attr-defined]
        if label is not None:
            request.urlconf = settings.TENANT_URLCONF
            try:
                request.organisation = organisation_at(label)  # type: ignore[attr-defined]
            except DatabaseError:
                return unavailable()
        elif host != settings.BASE_DOMAIN:
            return HttpResponse("Not found\n", status=404, content_type="text/plain")
        try:
            refuse_odd_address(request)
            # No route takes more, and Django would write a multi-part body to disk to see its token.
            bodies.refuse_oversize(request, limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        except problems.Problem as problem:
            return problems.answer(problem)
        return self.get_response(request)


class SessionHostMiddleware:
    """A session is valid only on the host that made it (design section 4, rule 8; F16).

    Elsewhere it counts as none at all, and that browser's cookie is dropped; the session itself
    stays good where it belongs.
    """

    def __init__(self, get_response: _Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        host = host_of(request)
        if request.session.session_key and request.session.get(HOST_KEY) != host:
            request.session = SessionStore()
            request.user = AnonymousUser()
        elif isinstance(request.session, SessionStore):
            request.session.touch()
        response = self.get_response(request)
        session = request.session
        if session.modified and not session.is_empty() and session.get(HOST_KEY) != host:
            session[HOST_KEY] = host
        return response


def refuse_odd_address(request: HttpRequest) -> None:
    """Raises Problem 400 `invalid_address` for a path with control characters, a query with NUL
    (PostgreSQL stores none) and one of more fields than Django reads; and for a target that names
    a host of its own, which may be another than the Host header's (RFC 9112 section 3.2.2)."""
    query = request.META.get("QUERY_STRING", "")
    if (
        not request.META.get("RAW_URI", "/").startswith("/")  # gunicorn's name for the target
        or _CONTROL.search(request.path_info)
        or "%00" in query
        or query.count("&") >= settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    ):
        raise problems.Problem(400, "invalid_address", "This is no address of ours.")


def unavailable() -> HttpResponse:
    """The answer while the state of things cannot be read: refuse, and say when to come back."""
    answer = HttpResponse("Service unavailable\n", status=503, content_type="text/plain")
    answer["Retry-After"] = "5"
    return answer
