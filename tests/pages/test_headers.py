"""Security headers: what a page may load and send, and what a browser may keep of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from pulsecloud.headers import form_targets
from tests.accounts.browsing import Visitor
from tests.factories import make_organisation, owner_of

pytestmark = pytest.mark.django_db
TEMPLATES = sorted(Path(settings.BASE_DIR, "templates").rglob("*.html"))


def policy(answer: object) -> dict[str, str]:
    text: str = answer.headers["Content-Security-Policy"]  # type: ignore[attr-defined]
    parts = [part.strip().partition(" ") for part in text.split(";")]
    return {name: value for name, _, value in parts}


def test_a_page_loads_from_its_own_host_only() -> None:
    rules = policy(Client().get("/", HTTP_HOST="localhost"))
    assert rules["default-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["base-uri"] == "'none'"
    assert not any("unsafe" in value for value in rules.values())


def test_a_form_may_lead_to_the_organisations_hosts() -> None:
    rules = policy(Client().get("/accounts/login/", HTTP_HOST="localhost"))
    assert rules["form-action"] == "'self' http://localhost:8000 http://*.localhost:8000"


def test_without_a_public_address_forms_stay_here() -> None:
    assert form_targets("") == "'self'"
    assert form_targets("https://cloud.example.com") == (
        "'self' https://cloud.example.com https://*.cloud.example.com"
    )


def test_json_and_text_may_do_nothing() -> None:
    for path in ("/signup/status", "/api/public/signup"):
        answer = Client().get(path, HTTP_HOST="localhost")
        assert policy(answer)["default-src"] == "'none'"


def test_the_staff_admin_runs_no_inline_script() -> None:
    rules = policy(Client().get("/admin/login/", HTTP_HOST="localhost", follow=True))
    assert "'unsafe-inline'" not in rules.get("script-src", rules["default-src"])


@pytest.mark.parametrize("path", ["/", "/signup", "/accounts/login/", "/sign-in/nothing", "/nope"])
def test_no_page_stays_in_a_cache(path: str) -> None:
    answer = Client().get(path, HTTP_HOST="localhost")
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_pairing_code_stays_in_no_cache() -> None:
    organisation = make_organisation()
    host = organisation.instance_host
    visitor = Visitor().sign_in(owner_of(organisation), host)
    for answer in (visitor.get("/", host), visitor.post("/pair", host=host)):
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_templates_hold_nothing_that_the_policy_forbids(template: Path) -> None:
    text = re.sub(r"{% comment %}.*?{% endcomment %}", "", template.read_text("utf-8"), flags=re.S)
    if "admin" in template.parts:
        return
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
