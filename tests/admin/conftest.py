"""A signed-in superuser for the staff pages."""

from __future__ import annotations

import pytest
from django.test import Client

from tenants.models import User
from tests.admin import staff


@pytest.fixture
def superuser(db: None) -> User:
    return staff.superuser()


@pytest.fixture
def client(superuser: User) -> Client:
    return staff.signed_in(superuser)
