"""The page of the API's description: for everybody, under a strict policy, on phone and desktop."""

from __future__ import annotations

import pytest
import yaml
from django.test import Client, override_settings

from tests.pages.chromium import DESKTOP, PHONE, person
from tests.product import Product


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/openapi-platform"])
def test_anybody_may_read_and_nothing_of_others_is_loaded(path: str) -> None:
    answer = Client().get(path, HTTP_HOST="localhost")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200
    assert "default-src 'self'" in policy and "form-action 'none'" in policy
    assert "script-src" not in policy and "unsafe-eval" not in policy
    assert "https://" not in answer.content.decode()


@pytest.mark.django_db
def test_the_document_names_this_installations_addresses() -> None:
    with override_settings(PUBLIC_URL="https://cloud.example.org"):
        answer = Client().get("/api/openapi.yaml", HTTP_HOST="localhost")
    assert answer.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(answer.content)["servers"][0]["url"] == (
        "https://{label}.cloud.example.org"
    )


@pytest.mark.django_db
def test_there_is_no_other_document() -> None:
    for path in ("/api/docs/nothing", "/api/nothing.yaml"):
        assert Client().get(path, HTTP_HOST="localhost").status_code == 404


@pytest.mark.chromium
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_well(product: Product, size: tuple[int, int], scheme: str) -> None:
    with person(size=size, scheme=scheme) as reader:
        reader.page.goto(f"{product.public_url}/api/docs")
        reader.sees("/api/orgs/{organisation_id}/members")
        reader.page.locator(".opblock-summary-control").first.click()
        reader.sees("Example Value")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert reader.page.evaluate(wide) <= 0


@pytest.mark.chromium
def test_without_scripts_it_leads_to_the_document(product: Product) -> None:
    with person(scripts=False) as reader:
        reader.page.goto(f"{product.public_url}/api/docs")
        reader.sees("OpenAPI document")
