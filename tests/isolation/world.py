"""Organisations whose every text carries their marker, and who asks what of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings
from django.test import Client

from audit.actors import Actor
from rbac import mobile, roles, tokens
from rbac.authorizer import Grant
from rbac.role_specs import RoleSpec
from tenants.models import MemberRole, Organisation, User
from tests.factories import add_member, make_live_organisation, make_user, owner_of, sign_in
from tests.isolation.markers import new_marker

ROLE = "watcher"  # the same id everywhere: nothing but the wall tells them apart
TOKEN = "X-API-Token"

API = (
    "/api/organisation",
    "/api/orgs/{id}",
    "/api/orgs/{id}/members",
    "/api/orgs/{id}/invitations",
    "/api/security/tokens",
    "/api/security/devices",
    "/api/admin/roles",
    f"/api/admin/roles/{ROLE}",
    "/api/admin/users",
    "/api/admin/rbac/changelog",
    "/api/audit",
    "/api/settings/relay/status",
)
PAGES = ("/", "/people", "/roles", f"/roles/{ROLE}", "/tokens", "/devices", "/audit")
PHONE = ("/api/organisation", "/api/settings/relay/status")


@dataclass(frozen=True)
class Request:
    """One GET: what it must be answered, and the only marker that the answer may hold."""

    path: str
    host: str
    headers: dict[str, str]
    status: int
    marker: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Tenant:
    organisation: Organisation
    marker: str
    owner: User
    role: str
    secrets: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.organisation.instance_host

    def credentials(self) -> list[tuple[dict[str, str], tuple[str, ...]]]:
        """(headers, the paths that they open)."""
        cookie = settings.SESSION_COOKIE_NAME
        by_cookie = {n: {"Cookie": f"{cookie}={v}"} for n, v in self.sessions.items()}
        return [
            (by_cookie["owner"], PAGES + API),
            (by_cookie["viewer"], ("/", "/people", "/devices", "/api/organisation")),
            ({TOKEN: self.secrets["api"]}, API),
            ({"Authorization": f"Bearer {self.secrets['api']}"}, API),
            ({TOKEN: self.secrets["phone"]}, PHONE),
        ]


def make_tenant(*, canary: bool = False) -> Tenant:
    """An organisation, its people, a role, tokens and a past, all with its marker."""
    marker = new_marker()
    owner = make_user(f"owner.{marker}@example.test", name=f"Owner {marker}")
    label = f"canary-{marker}" if canary else f"iso-{marker}"
    organisation = make_live_organisation(
        owner=owner, label=label, display_name=f"Company {marker}", canary=canary
    )
    by = Actor.system(f"test-{marker}")
    roles.create(organisation, ROLE, spec(marker, 0), actor=by, reason=f"made {marker}")
    tenant = Tenant(organisation, marker, owner_of(organisation), ROLE)
    member = make_user(f"member.{marker}@example.test", name=f"Member {marker}")
    add_member(organisation, MemberRole.VIEWER, member)
    for person, name in ((owner, "owner"), (member, "viewer")):
        tenant.sessions[name] = session(tenant, person)
    for name, scope in (("api", "*"), ("phone", mobile.SCOPE)):
        _, tenant.secrets[name] = tokens.issue(
            organisation,
            user=owner,
            name=f"{name} {marker}",
            scopes=[scope],
            purpose=mobile.PURPOSE if name == "phone" else "",
            actor=by,
        )
    return tenant


def spec(marker: str, turn: int) -> RoleSpec:
    """The custom role as it is in its nth change."""
    grants = (Grant("read", ("nodes", "vms", "alerts")[turn % 3]),)
    return RoleSpec(f"Role {marker}", f"{marker} turn {turn}", None, 0, grants)


def session(tenant: Tenant, person: User) -> str:
    """A new session's cookie value on the organisation's host."""
    client = Client()
    sign_in(client, person, tenant.organisation)
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


def requests(tenants: list[Tenant]) -> list[Request]:
    """What everybody may ask at home; and a few of each neighbour's door, which must stay shut.

    A credential of one organisation is nothing at another's host: 401, or to the sign-in page.
    """
    home, abroad = [], []
    for number, tenant in enumerate(tenants):
        neighbour = tenants[(number + 1) % len(tenants)]
        for headers, paths in tenant.credentials():
            for path in paths:
                filled = path.format(id=tenant.organisation.pk)
                home.append(Request(filled, tenant.host, headers, 200, tenant.marker))
            abroad.append(Request("/api/organisation", neighbour.host, headers, 401, ""))
        page = {"Cookie": tenant.credentials()[0][0]["Cookie"]}
        abroad.append(Request("/", neighbour.host, page, 302, neighbour.marker))
    return home + home + (abroad if len(tenants) > 1 else [])
