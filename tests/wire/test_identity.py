"""Identity keys against the published vectors."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from relay.wire import identity
from relay.wire.identity import IdentityError
from tests.vectors import group, load, named


@pytest.mark.parametrize("vector", group("identities"), ids=named)
def test_loads_every_vector(vector: dict[str, Any]) -> None:
    loaded = identity.load(vector["private_b64"])
    assert loaded.public_key == vector["public_b64"]
    assert base64.b64decode(loaded.public_key).hex() == vector["public_hex"]
    assert loaded.fingerprint == identity.fingerprint(vector["public_b64"]) == vector["fingerprint"]
    assert base64.b64decode(loaded.private_key)[:32].hex() == vector["seed_hex"]


@pytest.mark.parametrize("vector", group("key_exchange"))
def test_signs_the_ephemeral_key_as_upstream(vector: dict[str, Any]) -> None:
    signer = identity.load(load()["identities"][vector["identity"]]["private_b64"])
    ephemeral = bytes.fromhex(vector["instance_public"])
    assert signer.sign(ephemeral).hex() == vector["signature_hex"]


@pytest.mark.parametrize("vector", group("key_exchange_signature_checks"), ids=named)
def test_judges_every_signature(vector: dict[str, Any]) -> None:
    verdict = identity.verify(
        vector["identity_public_b64"],
        ephemeral=bytes.fromhex(vector["ephemeral_hex"]),
        signature=bytes.fromhex(vector["signature_hex"]),
    )
    assert verdict is vector["accepted"]


def test_made_identities_differ_and_load_again() -> None:
    first, second = identity.make(), identity.make()
    assert first.public_key != second.public_key
    assert identity.load(first.private_key) == first
    assert len(first.fingerprint) == 95


def test_private_key_is_not_in_the_repr() -> None:
    made = identity.make()
    assert made.private_key not in repr(made)


def test_halves_of_two_identities_are_refused() -> None:
    one, other = (base64.b64decode(identity.make().private_key) for _ in range(2))
    with pytest.raises(IdentityError, match="does not belong"):
        identity.load(base64.b64encode(one[:32] + other[32:]).decode())


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "identity-pub", "é"])
def test_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(IdentityError):
        identity.fingerprint(text)
    with pytest.raises(IdentityError):
        identity.load(text)
    with pytest.raises(IdentityError):
        identity.verify(text, ephemeral=bytes(32), signature=bytes(64))
