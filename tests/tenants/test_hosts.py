"""Which host leads where."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tenants.hosts import RESERVED_LABELS, instance_host, valid_label
from tenants.models import Organisation, State
from tests.factories import make_organisation, put_in_state

pytestmark = pytest.mark.django_db


def plain_not_found(answer: Any) -> bool:
    return bool(
        answer.status_code == 404
        and answer["Content-Type"] == "text/plain"
        and answer.content == b"Not found\n"
    )


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]:8000",
        "localhost.example.org",
        "xlocalhost",
        "a.b.localhost",
        ".localhost",
        "..localhost",
        "-ab.localhost",
        "ab-.localhost",
        "a.localhost",
        "a" * 41 + ".localhost",
        "under_score.localhost",
        "www.localhost",
        "admin.localhost",
        "relay.localhost",
        "xn--\u00fc.localhost",
        "localhost@example.org",
        "localhost/..",
        "local host",
        "",
        "demo.localhost:notaport",
    ],
)
@pytest.mark.parametrize("path", ["/", "/admin/", "/api/organisation", "/signup"])
def test_foreign_hosts_get_a_plain_404(client: Client, host: str, path: str) -> None:
    assert plain_not_found(client.get(path, HTTP_HOST=host))


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_answers_on_any_host(client: Client, path: str) -> None:
    assert client.get(path, HTTP_HOST="10.1.2.3").status_code != 404


@pytest.mark.parametrize("form", ["{}", "{}:8000", "{}."])
def test_an_organisation_is_found_by_its_host(client: Client, form: str) -> None:
    host = form.format(make_organisation().instance_host)
    for spelling in (host, host.upper()):
        answer = client.get("/api/organisation", HTTP_HOST=spelling)
        assert answer.status_code == 401
        assert answer.wsgi_request.organisation is not None  # type: ignore[attr-defined]


def test_the_platform_does_not_answer_on_an_organisations_host(client: Client) -> None:
    host = make_organisation().instance_host
    for path in ("/admin/", "/signup", "/accounts/login/", "/api/public/signup"):
        answer = client.get(path, HTTP_HOST=host)
        assert answer.status_code in (401, 404), path


def test_an_organisation_does_not_answer_on_the_base_domain(client: Client) -> None:
    answer = client.get("/api/organisation", HTTP_HOST="localhost")
    assert answer.status_code == 404


@pytest.mark.parametrize("state", [State.DELETED, State.EXPIRED])
def test_ended_organisations_are_unknown(client: Client, state: str) -> None:
    organisation = make_organisation(State.REQUESTED)
    put_in_state(organisation, state)
    answer = client.get("/api/organisation", HTTP_HOST=organisation.instance_host)
    assert answer.wsgi_request.organisation is None  # type: ignore[attr-defined]


def test_a_label_that_expired_leads_to_who_has_it_now(client: Client) -> None:
    first = make_organisation(State.REQUESTED)
    Organisation.objects.filter(pk=first.pk).update(state=State.EXPIRED)
    first.domains.all().delete()
    second = make_organisation(label=first.label)
    answer = client.get("/api/organisation", HTTP_HOST=first.instance_host)
    assert answer.wsgi_request.organisation == second  # type: ignore[attr-defined]


@pytest.mark.covers("F78")
def test_the_instance_host_has_no_port_and_one_case(settings: Any) -> None:
    settings.BASE_DOMAIN = "cloud.example.com"
    assert instance_host("demo") == "demo.cloud.example.com"


@pytest.mark.parametrize("label", ["abc", "a1b", "a-b", "0-0", "a" * 40, "demo", "canary-x"])
def test_good_labels(label: str) -> None:
    assert valid_label(label)


@pytest.mark.parametrize(
    "label",
    [
        "",
        "ab",
        "-abc",
        "abc-",
        "Abc",
        "a_b",
        "a.b",
        "abc\n",
        "äbc",
        "a" * 41,
        *sorted(RESERVED_LABELS),
    ],
)
def test_bad_labels(label: str) -> None:
    assert not valid_label(label)
