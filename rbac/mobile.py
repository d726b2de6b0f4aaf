"""What a paired phone may reach (relay-protocol section 20, design section 6).

Its token opens the organisation summary, relay status and onboarding. The routes that a Pulse
instance with monitoring attached would also open say that nothing is attached; the rest is shut.
"""

from __future__ import annotations

import re

from tenants.door import Knock, Refused

SCOPE = "relay:mobile:access"
PURPOSE = "relay_mobile_access"

OPEN = frozenset(
    {
        ("GET", "/api/organisation"),
        ("GET", "/api/settings/relay/status"),
        ("GET", "/api/onboarding/qr"),
        ("GET", "/api/onboarding/qr.svg"),
        ("GET", "/api/onboarding/deep-link"),
        ("POST", "/api/onboarding/validate"),
    }
)

_ONE = "[^/]+"
_MONITORING = tuple(
    (method, re.compile(pattern.replace("{}", _ONE)))
    for method, pattern in (
        ("GET", "/api/ai/patrol/findings"),
        ("POST", "/api/ai/patrol/(acknowledge|dismiss|snooze)"),
        ("GET", "/api/ai/findings/{}/investigation(/messages)?"),
        ("GET", "/api/ai/approvals"),
        ("POST", "/api/ai/approvals/{}/(approve|deny)"),
        ("GET", "/api/actions/pending"),
        ("GET", "/api/actions"),
        ("GET", "/api/actions/{}"),
        ("POST", "/api/actions/{}/(decision|execute)"),
        ("POST", "/api/ai/chat"),
        ("GET", "/api/ai/sessions"),
        ("POST", "/api/ai/sessions"),
        ("GET", "/api/ai/sessions/{}/messages"),
        ("POST", "/api/ai/sessions/{}/abort"),
        ("PATCH", "/api/ai/sessions/{}"),
        ("DELETE", "/api/ai/sessions/{}"),
        ("GET", "/api/ai/patrol/attention"),
        ("GET", "/api/ai/patrol/attention/{}"),
        ("POST", "/api/ai/patrol/attention/{}/{}"),
    )
)


def needs_monitoring(method: str, path: str) -> bool:
    """True for the routes of section 20 that only an instance with monitoring answers."""
    return any(method == m and pattern.fullmatch(path) for m, pattern in _MONITORING)


def not_attached() -> Refused:
    return Refused(
        404, "monitoring_not_attached", "No monitoring is attached to this organisation yet."
    )


def check(knock: Knock) -> None:
    """Raises Refused unless a phone's token may make this request."""
    method, path = knock.request.method or "", knock.request.path
    if (method, path) in OPEN:
        return
    if needs_monitoring(method, path):
        raise not_attached()
    raise Refused(403, "forbidden", "A paired phone may not reach this.")
