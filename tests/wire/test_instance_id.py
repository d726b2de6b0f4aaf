"""Instance ids and host normalisation."""

from __future__ import annotations

import re
from typing import Any

import pytest

from relay.wire import instance_id
from tests.vectors import group


@pytest.mark.covers("F78")
@pytest.mark.parametrize("vector", group("hosted_instance_ids"), ids=lambda v: v["instance_host"])
def test_hosted_ids_are_the_published_ones(vector: dict[str, Any]) -> None:
    """F78: case, scheme, port and path of the host change nothing."""
    host = vector["instance_host"]
    for written in (host, host.upper(), f"https://{host}:8443/x", f" {host} "):
        assert instance_id.of_host(written) == vector["instance_id"]


@pytest.mark.parametrize("vector", group("host_normalisation"), ids=lambda v: repr(v["in"]))
def test_host_normalisation(vector: dict[str, Any]) -> None:
    assert instance_id.normalise_host(vector["in"]) == vector["out"]


def test_licence_ids_differ_by_every_input_and_are_stable() -> None:
    ids = [
        instance_id.of_licence(lid, iid, hint)
        for lid in ("lic_a", "lic_b")
        for iid in ("", "inst_1")
        for hint in ("", "secret")
    ]
    assert len(set(ids)) == 8
    assert all(re.fullmatch(r"relay_[0-9a-f]{16}", made) for made in ids)
    # SHA-256 over "license:lic_a::", computed with sha256sum
    assert ids[0] == instance_id.of_licence("lic_a") == "relay_2d8fbc956b5dfec4"
