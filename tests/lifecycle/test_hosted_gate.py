"""The gate's one list: every route of it with hosted mode off and on, and that nothing else decides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import Resolver404, resolve

from pulsecloud.env import Environment
from tenants import hosted_routes
from tenants.hosted_routes import ALL, Route
from tests.factories import make_user
from tests.lifecycle.test_api import HOST, signed_in

ROOT = Path(__file__).resolve().parents[2]
ids = [str(route) for route in ALL]
BUILT = [route for route in ALL if route.built]
MISSING = [route for route in ALL if not route.built]


def ask(client: Client, route: Route, method: str = "") -> Any:
    body = "" if (method or route.method) == "GET" else json.dumps(route.probe)
    return client.generic(
        method or route.method,
        route.probe_path(),
        body,
        content_type="application/json",
        headers={"accept": "application/json"},
        **HOST,
    )


def code(answer: Any) -> str:
    return str(answer.json()["code"])


def test_the_list_is_the_contracts() -> None:
    assert [route.number for route in ALL] == list(range(1, 12))
    assert [str(route) for route in ALL] == [
        "POST /api/public/signup",
        "GET /api/admin/orgs/{id}/billing-state",
        "PUT /api/admin/orgs/{id}/billing-state",
        "POST /api/admin/orgs/{id}/suspend",
        "POST /api/admin/orgs/{id}/unsuspend",
        "POST /api/admin/orgs/{id}/soft-delete",
        "POST /api/public/magic-link/request",
        "GET /api/public/magic-link/verify",
        "GET /api/hosted/organizations",
        "POST /api/admin/orgs/{id}/agent-install-command",
        "POST /api/webhooks/stripe",
    ]


@pytest.mark.parametrize("route", BUILT, ids=str)
def test_the_view_at_its_address_is_bound_to_it(route: Route) -> None:
    view = resolve(route.path.replace("{id}", "x")).func
    assert getattr(view, "hosted_route", None) is route


@pytest.mark.parametrize("route", MISSING, ids=str)
def test_what_is_not_built_says_why_and_is_not_there(route: Route) -> None:
    assert route.later
    with pytest.raises(Resolver404):
        resolve(route.path.replace("{id}", "x"))


@pytest.mark.django_db
@pytest.mark.covers("F76")
@pytest.mark.parametrize("route", ALL, ids=ids)
def test_off_it_is_404_and_tells_nothing(settings: Any, route: Route) -> None:
    settings.HOSTED_MODE = False
    answer = ask(signed_in(make_user()), route)
    assert answer.status_code == 404
    if route.built:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.content == b"Not found\n"


@pytest.mark.django_db
@pytest.mark.parametrize("route", ALL, ids=ids)
def test_on_it_answers_as_documented(route: Route) -> None:
    answer = ask(signed_in(make_user()), route)
    if not route.built:
        assert answer.status_code == 404
        return
    assert (answer.status_code, code(answer)) == route.told
    assert answer.status_code != 404


@pytest.mark.django_db
@pytest.mark.covers("H22", "F76")
@pytest.mark.parametrize("route", BUILT, ids=str)
def test_before_the_gate_only_authentication_and_method(settings: Any, route: Route) -> None:
    """Anonymous callers of admin routes and wrong methods are told the same in both modes."""
    told = []
    for settings.HOSTED_MODE in (True, False):
        wrong = ask(signed_in(make_user()), route, "PATCH")
        anonymous = ask(Client(), route)
        told.append((wrong.status_code, anonymous.status_code if route.needs_session else 401))
    assert told == [(405, 401)] * 2


@pytest.mark.parametrize(
    "value",
    ["1", "TRUE", "True", "yes", "on", " true", "true ", "true\n", "t", "truetrue", "", "false"],
)
def test_only_the_exact_text_opens_it(value: str) -> None:
    read = Environment({"PULSE_HOSTED_MODE": value}).exactly_true
    assert read("PULSE_HOSTED_MODE", help="") is False
    assert Environment({"PULSE_HOSTED_MODE": "true"}).exactly_true("PULSE_HOSTED_MODE", help="")


def test_the_command_shows_the_list() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "hosted_routes", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = json.loads(done.stdout)
    assert [(row["number"], row["path"]) for row in rows] == [(r.number, r.path) for r in ALL]
    assert [row["built"] for row in rows] == [route.built for route in hosted_routes.ALL]
