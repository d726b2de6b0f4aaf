"""The hosted-mode gate: the eleven routes that PULSE_HOSTED_MODE opens (hosted-contract section 2).

This list is the only one. The views are bound to it (`gated`), the URLs are made from it, tests ask
every route of it with the mode off and on, and `manage.py hosted_routes` shows it and asks a running
server. The mode is on for the exact text `true` and nothing else (`pulsecloud.env.exactly_true`).

Off, a route answers a plain-text 404. What its contract puts before the gate still answers: the
limit per address (429), authentication of the admin routes (401), a wrong method (405).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.conf import settings
from django.http import HttpResponse

_View = TypeVar("_View", bound=Callable[..., Any])

# Before a view of these asks the gate it has to know who asks.
SIGNED_IN: Final = "/api/admin/", "/api/hosted/"
# In place of an organisation's id: no id at all, so that asking touches no organisation.
NO_ID: Final = "no id"


@dataclass(frozen=True)
class Route:
    """`auth` is who may use it. `told` is what somebody without any right is answered while the mode
    is on, as status and code, when they send `probe`; it is never 404 for a route that is `built`.
    """

    number: int
    method: str
    path: str
    auth: str
    told: tuple[int, str]
    built: bool = True
    probe: dict[str, Any] = field(default_factory=dict)
    later: str = ""  # why it is not built

    @property
    def pattern(self) -> str:
        """For Django's `path()`."""
        return self.path.lstrip("/").replace("{id}", "<str:organisation_id>")

    @property
    def needs_session(self) -> bool:
        """Whether anonymous callers get 401 before the gate is asked."""
        return self.path.startswith(SIGNED_IN)

    def probe_path(self) -> str:
        return self.path.replace("{id}", NO_ID.replace(" ", "%20"))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_OWNER_OR_STAFF = "the owner, or staff who may change organisations"
_BAD_ID = (400, "invalid_org_id")
_ABSENT = (404, "")

SIGNUP = Route(1, "POST", "/api/public/signup", "public", (400, "invalid_email"))
READ_BILLING = Route(
    2, "GET", "/api/admin/orgs/{id}/billing-state", _OWNER_OR_STAFF, _ABSENT,
    built=False, later="comes with billing",
)  # fmt: skip
WRITE_BILLING = Route(
    3, "PUT", "/api/admin/orgs/{id}/billing-state", "staff", _ABSENT,
    built=False, later="comes with billing",
)  # fmt: skip
SUSPEND = Route(4, "POST", "/api/admin/orgs/{id}/suspend", _OWNER_OR_STAFF, _BAD_ID)
UNSUSPEND = Route(5, "POST", "/api/admin/orgs/{id}/unsuspend", _OWNER_OR_STAFF, _BAD_ID)
SOFT_DELETE = Route(6, "POST", "/api/admin/orgs/{id}/soft-delete", _OWNER_OR_STAFF, _BAD_ID)
MAGIC_LINK = Route(7, "POST", "/api/public/magic-link/request", "public", (400, "invalid_email"))
MAGIC_LINK_VERIFY = Route(
    8, "GET", "/api/public/magic-link/verify", "public", (400, "invalid_magic_link")
)
ORGANISATIONS = Route(
    9, "GET", "/api/hosted/organizations", "staff who may see organisations",
    (403, "access_denied"),
)  # fmt: skip
AGENT_INSTALL = Route(
    10, "POST", "/api/admin/orgs/{id}/agent-install-command", "nobody", _ABSENT,
    built=False, later="agents are not installed from here: 404 in both modes",
)  # fmt: skip
STRIPE = Route(
    11, "POST", "/api/webhooks/stripe", "Stripe's signature", _ABSENT,
    built=False, later="comes with billing",
)  # fmt: skip

ALL: Final = (
    SIGNUP, READ_BILLING, WRITE_BILLING, SUSPEND, UNSUSPEND, SOFT_DELETE, MAGIC_LINK,
    MAGIC_LINK_VERIFY, ORGANISATIONS, AGENT_INSTALL, STRIPE,
)  # fmt: skip


def is_open() -> bool:
    """Whether hosted mode is on in this process."""
    return bool(settings.HOSTED_MODE)


def absent() -> HttpResponse:
    """What a hosted route answers while the mode is off: no JSON (hosted-contract section 1.2)."""
    return HttpResponse("Not found\n", status=404, content_type="text/plain")


def gated(route: Route) -> Callable[[_View], _View]:
    """Says which route of the list this view is; the view itself asks `is_open` in its order."""

    def mark(view: _View) -> _View:
        view.hosted_route = route  # type: ignore[attr-defined]
        return view

    return mark
