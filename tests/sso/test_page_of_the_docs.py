"""docs/single-sign-on.md: its commands do what it says, and its codes are ours."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from rbac.sso.refusals import REASONS
from tests.admin.browser import served
from tests.docs import console
from tests.factories import make_organisation, make_token
from tests.sso.idp import Idp
from tests.sso.people import make_provider

PAGE = Path(settings.BASE_DIR, "docs", "single-sign-on.md")


def test_its_commands(live_db: None, idp: Idp, tmp_path: Path) -> None:
    organisation = make_organisation()
    make_provider(organisation, idp, groups={"Operations": "operator"})
    with served() as here:
        env = {
            "PATH": os.environ["PATH"],
            "NO_PROXY": "*",
            "HOST": organisation.instance_host,
            "AT": here.replace("localhost", "127.0.0.1"),
            "TOKEN": make_token(organisation, "settings:read"),
        }
        console.run(PAGE, env=env, cwd=tmp_path)


def test_it_names_every_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    own_words_suffice = {"provider_not_found", "too_many_requests", "provider_mismatch",
                         "missing_code", "missing_id_token", "session_failed"}  # fmt: skip
    assert {code for code in REASONS if f"`{code}`" not in text} == own_words_suffice
