"""Every command of docs/api-tokens-and-devices.md, against the running product."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.conf import settings

from audit.actors import Actor
from rbac import mobile, tokens
from relay.models import RelayStatus
from tests import secrets_seen
from tests.docs import console
from tests.factories import make_live_organisation, owner_of
from tests.product import Product
from tests.waiting import until

PAGE = Path(settings.BASE_DIR, "docs", "api-tokens-and-devices.md")


def test_every_command_does_what_the_page_says(product: Product, tmp_path: Path) -> None:
    organisation = make_live_organisation()
    owner = owner_of(organisation)

    def made(name: str, *scopes: str, purpose: str = "") -> str:
        _, secret = tokens.issue(
            organisation,
            user=owner,
            name=name,
            scopes=scopes,
            purpose=purpose,
            actor=Actor.system("test"),
        )
        secrets_seen.seen(secret, "API token")
        return secret

    writer = made("Scripts", "settings:read", "settings:write")
    reader = made("Reader", "settings:read")
    made("Nightly report", "settings:read")
    made("Anna's phone", mobile.SCOPE, purpose=mobile.PURPOSE)
    until(
        lambda: RelayStatus.objects.filter(organisation=organisation, connected=True).exists(), 20
    )
    console.run(
        PAGE,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PULSECLOUD": f"http://{organisation.instance_host}:{product.web[1]}",
            "PULSECLOUD_TOKEN": writer,
            "READER_TOKEN": reader,
        },
        cwd=tmp_path,
    )


@pytest.mark.parametrize("scope", ["settings:read", "settings:write", "audit:read", "*"])
def test_the_page_names_every_scope(scope: str) -> None:
    from rbac import scopes

    assert f"`{scope}`" in PAGE.read_text("utf-8")
    assert scope in [each.id for each in scopes.CHOOSABLE]
    assert len(scopes.CHOOSABLE) == 4


def test_the_page_says_the_limits_as_they_are() -> None:
    text = PAGE.read_text("utf-8")
    assert f"You may have {tokens.PER_PERSON} tokens" in text
    from rbac import tasks

    assert f"for {tasks.ENDED_TOKENS_KEPT.days} days" in text
