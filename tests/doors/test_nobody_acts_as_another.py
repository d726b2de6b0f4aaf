"""No route, admin action or command signs anybody in as another person (F69).

Staff act as staff, with a reason in the trail. A session is started in four places only, each for
whoever proved to be that person; links that sign in are mailed to the person's own mailbox, and an
operator at the machine may print one in development only, which the trail keeps.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as live_settings
from django.contrib import admin
from django.contrib.auth import SESSION_KEY
from django.core.management import CommandError, call_command, get_commands
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from audit.models import Event
from pulsecloud.staff.verbs import VerbAdmin
from tenants.models import Link, LinkPurpose, Organisation, Session, User
from tests.admin import staff
from tests.factories import make_organisation, make_user, owner_of

pytestmark = pytest.mark.covers("F69")
ROOT = Path(live_settings.BASE_DIR)
ROOMS = ("audit", "tenants", "rbac", "billing", "relay", "pulsecloud")
NAMES = re.compile(
    r"imperson|hijack|masquerad|log-?_?in-?_?as|sign-?_?in-?_?as|act-?_?as|become|switch-?_?user"
    r"|\bsu\b|assume",
    re.IGNORECASE,
)

# Who starts a session, and for whom.
STARTS = {
    ("tenants/views.py", "sign_in"): "who holds a sign-in link, or just proved a new mailbox",
    ("tenants/accounts/magic_link_views.py", "sign_in"): "who holds a link mailed to that mailbox",
    ("tenants/people/join_views.py", "sign_in"): "who holds an invitation mailed to that mailbox",
    (
        "tenants/accounts/hand_off.py",
        "start_session",
    ): "whom their session on the base domain hands over",
    ("rbac/sso/signin.py", "start_session"): "whom the organisation's provider vouches for",
    ("rbac/sso/views.py", "start_session"): "the same",
    ("tenants/accounts/entry.py", "login"): "inside start_session",
    ("tenants/accounts/entry.py", "perform_login"): "inside sign_in",
}
# Who makes a link that signs in, and where it goes.
MINTS = {
    ("tenants/signup.py", "sign_in_link"): "mailed to the mailbox that asked to sign up",
    ("tenants/accounts/confirming.py", "sign_in_link"): "mailed to the person who confirms",
    ("tenants/management/commands/sign_in_link.py", "sign_in_link"): "printed, in development",
    ("pulsecloud/management/commands/welcome.py", "sign_in_link"): "printed, in development",
}
_STARTING = {"login", "perform_login", "start_session", "sign_in", "force_login"}


def calls(names: set[str]) -> Iterator[tuple[str, str]]:
    """(file, name) of every call of one of these functions in our own code."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    called = node.func
                    name = called.attr if isinstance(called, ast.Attribute) else None
                    name = called.id if isinstance(called, ast.Name) else name
                    if name in names:
                        yield str(path.relative_to(ROOT)), name


def test_sessions_start_where_they_are_known_to() -> None:
    assert set(calls(_STARTING)) == set(STARTS)


def test_sign_in_links_are_made_where_they_are_known_to() -> None:
    assert set(calls({"sign_in_link"})) == set(MINTS)


def test_nobody_writes_another_person_into_a_session() -> None:
    """`request.session["_auth_user_id"] = …` would be a sign-in without its name."""
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text("utf-8")
            if re.search(r"_auth_user_id|session\[SESSION_KEY\]\s*=", text):
                found.append(str(path.relative_to(ROOT)))
    assert found == []


def routes(resolver: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, route)
        elif isinstance(entry, URLPattern):
            yield route, f"{route} {entry.name or ''} {entry.lookup_str}"


@pytest.mark.parametrize("urlconf", ["ROOT_URLCONF", "TENANT_URLCONF"])
def test_no_route_is_called_so(urlconf: str) -> None:
    every = list(routes(get_resolver(getattr(live_settings, urlconf))))
    assert len(every) > 20
    assert [route for route, text in every if NAMES.search(text)] == []
    # Another person's password is a way to be them.
    changes = {route for route, text in every if "password" in text and "admin/" in route}
    assert changes <= {"admin/password_change/", "admin/password_change/done/"}


@pytest.mark.django_db
def test_no_admin_action_is_called_so(rf: Any) -> None:
    request = rf.get("/admin/")
    request.user = staff.superuser()
    names = set()
    for model_admin in admin.site._registry.values():
        names |= {f"{name} {title}" for name, (_, _, title) in actions(model_admin, request)}
        verbs = model_admin.verbs if isinstance(model_admin, VerbAdmin) else ()
        names |= {f"{verb.name} {verb.title}" for verb in verbs}
    assert names
    assert [name for name in names if NAMES.search(name)] == []


def actions(model_admin: Any, request: Any) -> Any:
    return model_admin.get_actions(request).items()


@pytest.mark.django_db
def test_staff_stay_who_they_are_whatever_they_do() -> None:
    """A superuser uses every verb on a customer's organisation: the session stays theirs, and no
    session of the customer comes to be."""
    me = staff.superuser()
    client = staff.signed_in(me)
    owner = owner_of(organisation := make_organisation())
    model_admin = admin.site._registry[Organisation]
    assert isinstance(model_admin, VerbAdmin)
    page = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    for verb in model_admin.verbs:
        path = page.replace("/change/", f"/{verb.name}/")
        client.post(path, {"confirmed": "yes", "reason": "looking into it"}, follow=True)
        assert client.session[SESSION_KEY] == str(me.pk)
    client.get(reverse("admin:tenants_user_change", args=[owner.pk]))
    assert not Session.objects.filter(user=owner.pk).exists()
    assert not Link.objects.filter(user=owner).exists()


@pytest.mark.django_db
def test_staff_get_no_organisation_by_being_staff() -> None:
    organisation = make_organisation()
    client = staff.signed_in(staff.superuser())
    assert client.get(f"/o/{organisation.label}/").status_code == 404
    assert client.post(f"/o/{organisation.label}/").status_code == 404
    assert not Link.objects.filter(purpose=LinkPurpose.HAND_OFF).exists()


def test_no_command_is_called_so() -> None:
    assert [name for name in get_commands() if NAMES.search(name)] == []


@pytest.mark.django_db
@pytest.mark.parametrize("command", [["sign_in_link", "a@b.test"], ["welcome", "--no-proof"]])
def test_links_are_printed_in_development_only(settings: Any, command: list[str]) -> None:
    settings.PRODUCTION = True
    make_user("a@b.test", is_staff=True, is_superuser=True)
    with pytest.raises(CommandError, match="production"):
        call_command(*command, stdout=StringIO())
    assert not Link.objects.exists()


@pytest.mark.django_db
def test_a_printed_link_stands_in_the_trail() -> None:
    """Who has the machine's shell has the database anyway; what they did must show."""
    person: User = make_user()
    out = StringIO()
    call_command("sign_in_link", str(person.email), stdout=out)
    event = Event.objects.get(action="sign_in_link_printed", subject=str(person.pk))
    assert (event.actor_kind, event.actor_label) == ("system", "manage.py sign_in_link")
    token = out.getvalue().strip().rpartition("/")[2]
    assert token not in str(Event.objects.filter(pk=event.pk).values())
    assert Client().get(f"/sign-in/{token}", headers={"host": staff.HOST}).status_code == 200
