"""What people type into forms is text and nothing else, whatever it holds.

Here the forms are in order, with their tokens, and their senders may send them; what strangers and
programs send is test_random_requests' business.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib import admin

from tests.bad_input.conftest import Target
from tests.bad_input.junk import ODD
from tests.bad_input.watching import Logs
from tests.product import Member

SCRIPT = "<script>alert(1)</script>"
TEXTS = [
    "nul \x00 in the middle",
    "\x00",
    "tabs\tand\r\nlines\x0b\x0c\x1c\x1d\x1e\x85",
    SCRIPT,
    "{{ 7 * 7 }} {% now 'Y' %} %s %(name)s",
    ODD,
    "x" * 5000,
    " ",
    "",
]
each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text)[:30])


@contextmanager
def no_fault(target: Target) -> Iterator[None]:
    logs = Logs(target.product)
    yield
    assert logs.faults() == []


@pytest.fixture(scope="module")
def shared(target: Target) -> list[Member]:
    """Room for one member, who signs up in the first test that needs them."""
    return []


@pytest.fixture
def member(target: Target, looking: None, shared: list[Member]) -> Member:
    if not shared:
        shared.append(target.product.signed_up("Forms", enter=True))
    return shared[0]


@each_text
def test_the_name_of_a_phone(target: Target, member: Member, text: str) -> None:
    browser, host = member.browser, member.host
    with no_fault(target):
        page = browser.expect(200, "GET", "/", host=host)
        answer = browser.submit(page, path="/pair", host=host, name=text)
        assert answer.status_code in (200, 302)
        shown = browser.expect(200, "GET", "/devices", host=host).text
    assert SCRIPT not in answer.text + shown
    if text == SCRIPT:
        assert "&lt;script&gt;alert(1)" in shown


@each_text
def test_the_reason_of_a_suspension(target: Target, member: Member, text: str) -> None:
    browser = member.browser
    with no_fault(target):
        page = browser.expect(200, "GET", "/")
        answer = browser.submit(page, path=f"/o/{member.label}/suspend", reason=text)
        assert answer.status_code == 303
        page = browser.expect(200, "GET", "/")
        assert member.organisation.state == "suspended"
        assert SCRIPT not in page.text
        assert browser.submit(page, path=f"/o/{member.label}/lift").status_code == 303
    assert member.organisation.state == "active"


@each_text
def test_forms_of_strangers(target: Target, looking: None, text: str) -> None:
    browser = target.product.browser()
    with no_fault(target):
        for path, fields in (
            ("/accounts/login/", {"login": text, "password": text}),
            ("/accounts/login/", {"login": "ann@example.test", "password": text}),
            ("/accounts/password/reset/", {"email": text}),
            (
                "/signup",
                {"email": text, "org_name": text, "host_label": text, "invitation": text},
            ),
        ):
            answer = browser.submit(browser.expect(200, "GET", path), path=path, **fields)
            assert answer.status_code in (200, 400, 429), path
            assert SCRIPT not in answer.text, path


def test_what_staff_look_for(target: Target, looking: None) -> None:
    """In every list of the staff admin, by every way to narrow it; the texts take turns."""
    browser = target.product.browser()
    cookies = browser._cookies.setdefault(browser.base_host, {})
    cookies[settings.SESSION_COOKIE_NAME] = target.sessions["staff", "base"]
    texts = itertools.cycle(TEXTS)
    with no_fault(target):
        for model, page in admin.site._registry.items():
            path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            browser.expect(200, "GET", path)
            fields = {"q", "p", "o", "e", "id__exact", "_to_field"}
            for each in page.list_filter:
                fields.add(each if isinstance(each, str) else getattr(each, "parameter_name", "q"))
            for field, text in zip(sorted(fields), texts, strict=False):
                answer = browser.request("GET", f"{path}?{urlencode({field: text})}")
                assert answer.status_code in (200, 302, 400), (path, field, text)
                assert SCRIPT not in answer.text, (path, field)
            odd = browser.request("GET", f"{path}nobody/change/?_to_field=")
            assert odd.status_code in (200, 302, 403, 404), path
