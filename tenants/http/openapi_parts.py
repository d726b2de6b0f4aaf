"""The fixed parts of the OpenAPI documents: ways to sign in, forms of errors, lists, tags."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

# First match wins; the longer address stands first.
TAGS: Final = (
    ("/api/organisation", "Organisation"),
    ("/api/orgs", "People"),
    ("/api/org-invitations", "People"),
    ("/api/admin/roles", "Roles"),
    ("/api/admin/users", "Roles"),
    ("/api/admin/rbac", "Roles"),
    ("/api/security/tokens", "Tokens and devices"),
    ("/api/security/devices", "Tokens and devices"),
    ("/api/devices", "Tokens and devices"),
    ("/api/security/sso", "Single sign-on"),
    ("/api/sso", "Single sign-on"),
    ("/api/oidc", "Single sign-on"),
    ("/api/audit", "Audit"),
    ("/api/billing", "Billing"),
    ("/api/settings/relay", "Relay and phones"),
    ("/api/onboarding", "Relay and phones"),
    ("/api/public", "Sign-up and sign-in"),
    ("/api/admin/orgs", "Life cycle"),
    ("/api/hosted", "Life cycle"),
    ("/api/entitlements", "Leases"),
)

TOKEN_OR_SESSION: list[Any] = [{"apiToken": []}, {"bearer": []}, {"session": []}]
TOKEN_OR_SESSION_WRITES: list[Any] = [
    {"apiToken": []},
    {"bearer": []},
    {"session": [], "csrf": []},
]
SESSION: list[Any] = [{"session": []}]
SESSION_WRITES: list[Any] = [{"session": [], "csrf": []}]
SIGNED_IN = SESSION_WRITES
PUBLIC: list[Any] = []  # for `auth=`: anybody may ask

DESCRIPTIONS: Final = {
    400: "The request is malformed; `code` says how.",
    401: "`authentication_required`: no credentials, wrong ones, or no such organisation.",
    402: "`subscription_required`: nothing is paid and no trial runs. `license_required`: the plan "
    "lacks a capability.",
    403: "`access_denied`: not a member. `org_suspended`, `org_not_ready`: the organisation's "
    "state. `forbidden`: the role or the token's scopes do not reach. `csrf_failure`: a session "
    "without its CSRF token.",
    404: "`not_found`. Plain text while hosted mode is off.",
    409: "It conflicts with how things are; `code` says how.",
    412: "`precondition_failed`: it was changed since the ETag of If-Match was read.",
    413: "`body_too_large`.",
    415: "`unsupported_media_type`: send JSON.",
    429: "Too many requests; Retry-After says how many seconds to wait.",
    503: "The state of things cannot be read just now; Retry-After says when to come back.",
}

# What stands in the examples: a code that this status has, and a text.
_EXAMPLES: Final = {
    400: ("invalid_request", "The body must be a JSON object."),
    401: ("authentication_required", "Sign in, or send an API token."),
    402: ("subscription_required", "This organisation has no running subscription."),
    403: ("forbidden", "You may not do this in this organisation."),
    404: ("not_found", "There is nothing here."),
    409: ("already_exists", "There is one of this name."),
    412: ("precondition_failed", "It was changed meanwhile. Read it again, then decide."),
    413: ("body_too_large", "The body is too large."),
    415: ("unsupported_media_type", "Send application/json."),
    429: ("rate_limited", "Too many requests. Wait a little."),
    503: ("unavailable", "Come back in a few seconds."),
}

RETRY_HEADER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}
LIST_HEADERS: Final = {
    "X-Total-Count": {"description": "How many there are in all.", "schema": {"type": "integer"}},
    "Link": {"description": "The next and previous page (RFC 8288).", "schema": {"type": "string"}},
}
LIST_PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "limit",
        "in": "query",
        "description": "How many of them to answer.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    },
    {
        "name": "offset",
        "in": "query",
        "description": "How many of them to skip.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0},
    },
]

_TEXT = {"type": "string"}
_CODE = {"type": "string", "description": "Stable; programs decide by it, not by the text."}

COMPONENTS: Final[dict[str, Any]] = {
    "securitySchemes": {
        "apiToken": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Token",
            "description": "An API token of this organisation: 64 hex digits.",
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The same API token in `Authorization: Bearer`.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "pulsecloud_session",
            "description": "A sign-in on this very host, made in a browser.",
        },
        "csrf": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRFToken",
            "description": "The value of the `csrftoken` cookie; only with a session.",
        },
    },
    "schemas": {
        "Problem": {
            "type": "object",
            "description": "An error on routes of our own (RFC 9457).",
            "properties": {
                "type": _TEXT,
                "status": {"type": "integer"},
                "code": _CODE,
                "title": _TEXT,
                "detail": _TEXT,
            },
            "required": ["type", "status", "code", "title"],
            "example": {
                "type": "about:blank",
                "status": 404,
                "code": "not_found",
                "title": "There is nothing here.",
            },
        },
        "ContractError": {
            "type": "object",
            "description": "An error of a handler on routes of the published contract.",
            "properties": {
                "error": {**_TEXT, "description": "For people."},
                "code": _CODE,
                "status_code": {"type": "integer"},
                "timestamp": {"type": "integer", "description": "Unix seconds."},
            },
            "required": ["error", "code"],
            "example": {
                "error": "There is no such member.",
                "code": "member_not_found",
                "status_code": 404,
                "timestamp": 1767225600,
            },
        },
        "DoorRefusal": {
            "type": "object",
            "description": "A refusal before the handler, on routes of the published contract.",
            "properties": {"error": _CODE, "message": {**_TEXT, "description": "For people."}},
            "required": ["error", "message"],
            "example": {
                "error": "authentication_required",
                "message": "Sign in, or send an API token.",
            },
        },
    },
}


def error(status: int, *, contract: bool) -> dict[str, Any]:
    """The answer object of an error, on a contract's route or on one of our own."""
    answer: dict[str, Any] = {"description": DESCRIPTIONS.get(status, "Refused; `code` says why.")}
    if status in (429, 503):
        answer["headers"] = RETRY_HEADER
    return {**answer, "content": _content(status, contract=contract)}


def shared_error(status: int, *, contract: bool) -> dict[str, str]:
    """A reference to the same among the components: most routes have the same errors."""
    return {"$ref": f"#/components/responses/{_name(status, contract=contract)}"}


def _name(status: int, *, contract: bool) -> str:
    return f"{'Contract' if contract else 'Problem'}{status}"


def _shared_errors() -> dict[str, Any]:
    return {
        _name(status, contract=contract): error(status, contract=contract)
        for contract in (True, False)
        for status in DESCRIPTIONS
    }


def _content(status: int, *, contract: bool) -> dict[str, Any]:
    code, text = _EXAMPLES.get(status, ("refused", "It cannot be done."))
    problem = {
        "application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": {"type": "about:blank", "status": status, "code": code, "title": text},
        }
    }
    # Plain text comes from where no view has been reached: hosted mode off, a limit per address,
    # a database that does not answer.
    plain = {"text/plain": {"schema": {"type": "string"}, "example": f"{text}\n"}}
    if not contract:
        return {
            503: {**plain, **problem},
            404: {**problem, **plain},
            429: {**problem, **plain},
        }.get(status, problem)
    handler = {"error": text, "code": code, "status_code": status, "timestamp": 1767225600}
    door = {"error": code, "message": text}
    kinds = [{"$ref": f"#/components/schemas/{name}"} for name in ("ContractError", "DoorRefusal")]
    found = {
        "application/json": {
            "schema": {"anyOf": kinds},
            "example": door if status in (401, 402, 403, 429) else handler,
        }
    }
    if status == 503:
        return {**plain, **found}
    # What no view ever saw (an odd address, a body over 1 MiB) is answered the same everywhere.
    early = problem if status in (400, 411, 413) else {}
    return {**found, **early, **(plain if status in (404, 429) else {})}


_ORGANISATION = """\
Everything an organisation's people and programs can do, on the organisation's own host.

Authenticate with an API token (`X-API-Token` or `Authorization: Bearer`), or with the session that a
browser has on this host; a session sends `X-CSRFToken` with everything that changes something. Until
you are known, a host that exists and one that does not answer alike.

Lists are JSON arrays: `limit` and `offset` choose the page, `X-Total-Count` and `Link` tell the rest.
Answers of what can be edited carry an `ETag`; send it as `If-Match` and nobody's change is lost.
`x-required-permission` is the action and resource that the caller's roles must allow.
"""
_PLATFORM = """\
The base domain: signing up, a person's organisations and invitations, suspending an organisation and
lifting that, and the renewal of leases by external runtimes. Members' and tokens' work is done on the
organisation's own host, which has a document of its own.
"""


def about(document: dict[str, Any], urlconf: str, public_url: str) -> None:
    """Fills in title, description, servers and the tags that are used."""
    organisation = urlconf == settings.TENANT_URLCONF
    document["info"] = {
        "title": "PulseCloud: an organisation's API" if organisation else "PulseCloud: base domain",
        "version": settings.VERSION,
        "description": _ORGANISATION if organisation else _PLATFORM,
        "license": {"name": "Apache-2.0"},
    }
    address = urlsplit(public_url)
    if organisation:
        server: dict[str, Any] = {
            "url": f"{address.scheme}://{{label}}.{address.netloc}",
            "variables": {
                "label": {"default": "example", "description": "The organisation's label."}
            },
        }
    else:
        server = {"url": f"{address.scheme}://{address.netloc}"}
    document["servers"] = [server]
    used = {
        tag for path in document["paths"].values() for each in path.values() for tag in each["tags"]
    }
    document["tags"] = [{"name": tag} for tag in dict.fromkeys(t for _, t in TAGS) if tag in used]
    components = document.setdefault("components", {})
    for kind, parts in {**COMPONENTS, "responses": _shared_errors()}.items():
        components[kind] = dict(sorted({**components.get(kind, {}), **parts}.items()))
