"""With ten thousand organisations every page asks the database as many questions as with a few."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tenants.models import Organisation
from tests.admin import crowd
from tests.admin.staff import changelist
from tests.admin.test_pages_answer import LISTS, queries

pytestmark = pytest.mark.django_db
COUNT = 10_000


def test_as_many_queries_as_with_a_few(client: Client) -> None:
    crowd.make(60, prefix="few")
    organisation = Organisation.objects.get(label="few-0")
    paths = [
        reverse("admin:index"),
        reverse("admin:index") + "?span=30d",
        *map(changelist, LISTS),
        reverse("admin:tenants_rollout"),
        changelist("tenants_organisation") + "?reachable=yes",
        changelist("tenants_organisation") + "?q=customer&which=all",
        changelist("tenants_organisation") + "?p=2",
        reverse("admin:search") + "?s=few-",
        reverse("admin:tenants_organisation_change", args=[organisation.pk]),
    ]
    for path in paths:
        queries(client, path)
    few = {path: queries(client, path) for path in paths}
    crowd.make(COUNT, beside=False)
    assert {path: queries(client, path) for path in paths} == few
    assert max(asked for path, asked in few.items() if "checklist" not in path) <= 16
    page = client.get(changelist("tenants_organisation")).content.decode()
    assert page.count("/change/") < 200  # one page of it
