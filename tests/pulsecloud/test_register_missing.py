"""An active organisation without a registration stops the start, and can be mended."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from audit.models import Event
from pulsecloud import preparation
from relay.models import Registration
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db


@pytest.mark.covers("F77")
def test_missing_registration_is_found_and_mended(capsys: Any) -> None:
    organisation = make_organisation()
    before = Registration.objects.get(organisation=organisation)
    before.delete()
    with pytest.raises(SystemCheckError) as found:
        call_command("check", databases=["default"])
    assert "pulsecloud.E033" in str(found.value)
    assert organisation.label in str(found.value)
    assert "--register-missing" in str(found.value)

    assert organisation.label in preparation.register_missing()

    now = Registration.objects.get(organisation=organisation)
    assert now.instance_id == before.instance_id
    assert now.identity_fingerprint != before.identity_fingerprint
    event = Event.objects.get(action="relay_registered_again", organisation=organisation.pk)
    assert event.after == {"identity_fingerprint": now.identity_fingerprint}
    assert preparation.register_missing() == "none was missing"
    # Other findings may stand in a test database; this one is gone.
    try:
        call_command("check", databases=["default"])
    except SystemCheckError as other:
        assert "pulsecloud.E033" not in str(other)
