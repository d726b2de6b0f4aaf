"""Runs drills against a product: the command, or one drill here in the test's process."""

from __future__ import annotations

import json
from typing import Any

from django.test import override_settings

from pulsecloud.drills.flock import Flock
from tests.product import Product


def drill(
    product: Product, which: str, *, patience: float = 3.0, **environment: str
) -> tuple[int, dict[str, Any]]:
    """(exit code, the record) of `manage.py drill` for the drills of one name."""
    kept = dict(product.environment)
    product.environment.update(environment)
    try:
        done = product.manage("drill", which, "--json", "--patience", str(patience), check=False)
    finally:
        product.environment.clear()
        product.environment.update(kept)
    assert done.stdout.lstrip().startswith("{"), done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    (record,) = found["records"]
    assert found["passed"] is record["passed"]
    return done.returncode, record


def failed(record: dict[str, Any]) -> list[str]:
    """Names of the drills that failed."""
    return [step["name"] for step in record["steps"] if step["status"] == "failed"]


def one(
    product: Product,
    kind: type[Flock],
    name: str,
    *,
    web: tuple[str, int] | None = None,
    patience: float = 3.0,
) -> dict[str, Any]:
    """One drill's evidence, through `web` instead of the product's own; raises what it raises.

    Its canaries are gone afterwards, whatever it found.
    """
    settings = {
        "WEB_ADDR": web or product.web,
        "PUBLIC_URL": product.public_url,
        "RELAY_ADDR": product.relay,
        "HOSTED_MODE": True,
    }
    with override_settings(**settings):
        flock = kind(patience)
        (run,) = (run for each, _, run in flock.drills() if each == name)
        try:
            return run()
        finally:
            assert flock.left == []
