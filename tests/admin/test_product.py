"""The staff pages of a running product: gunicorn, collected static files, a real proof."""

from __future__ import annotations

import re

import httpx
from django.conf import settings
from django.urls import reverse

from tenants.models import ReadinessRecord
from tests.admin import staff
from tests.product import Product


def test_pages_and_their_files_are_served(product: Product) -> None:
    client = staff.signed_in(staff.superuser())
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    product.manage("prove")
    record = ReadinessRecord.objects.latest("started_at")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{product.web[1]}",
        headers={"Host": f"localhost:{product.web[1]}"},
        cookies={settings.SESSION_COOKIE_NAME: cookie},
    ) as web:
        home = web.get("/admin/")
        assert home.status_code == 200
        assert "Organisations by state" in home.text
        files = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', home.text))
        assert any("staff" in name for name in files)
        assert {name: web.get(name).status_code for name in files} == dict.fromkeys(files, 200)
        proof = web.get(reverse("admin:tenants_readinessrecord_change", args=[record.pk])).text
    assert "Passed" in proof
    for step in record.steps:
        assert step["status"] == "passed"
    assert "relay_" in proof  # the instance id that the QR carried
    # Evidence is told in words, not as Python writes it.
    assert "&#x27;" not in proof.split("staff-table", 1)[1].split("</table>", 1)[0]
