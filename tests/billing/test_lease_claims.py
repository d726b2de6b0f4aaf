"""What a lease says, compared with leases that upstream signed."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.utils import timezone

from billing import keys, leases, plans
from billing.hosts import normalised
from billing.models import SigningKey
from tests.billing.rows import billing, organisation, paying
from tests.vectors import group, load

pytestmark = pytest.mark.django_db


def claims_of(token: str) -> dict[str, Any]:
    """Verified as a relay does: by the exported public key, algorithm, issuer and audience."""
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys.public_keys()[0]))
    claims: dict[str, Any] = jwt.decode(
        token, public, algorithms=["EdDSA"], issuer=leases.ISSUER, audience=leases.AUDIENCE
    )
    return claims


def upstream(name: str) -> dict[str, Any]:
    return next(vector for vector in group("leases") if vector["name"] == name)


@pytest.mark.parametrize("name", ["valid cloud lease", "trial lease"])
def test_signs_byte_for_byte_what_upstream_signs(name: str) -> None:
    vector = upstream(name)
    seed = bytes.fromhex(load()["credential_keys"]["entitlement_seed_hex"])
    assert (
        leases.sign(vector["claims"], Ed25519PrivateKey.from_private_bytes(seed)) == vector["jwt"]
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("valid cloud lease", "active"), ("trial lease", "trial")]
)
def test_has_the_claims_of_an_upstream_lease(name: str, kind: str) -> None:
    subject = organisation()
    billing(subject, kind)
    claims = claims_of(leases.issue(subject, issued_for="refresh").token)
    expected = upstream(name)["claims"]
    assert set(claims) == set(expected) | {"sub"}
    assert {key: type(value) for key, value in claims.items() if key != "sub"} == {
        key: type(value) for key, value in expected.items()
    }
    for same in ("org_id", "capabilities", "iss", "aud", "subscription_state"):
        assert claims[same] == expected[same]
    assert uuid.UUID(claims["sub"]) == subject.pk
    assert claims["instance_host"] == subject.instance_host


def test_header_names_algorithm_and_type_only() -> None:
    header = leases.issue(paying(), issued_for="runtime").token.split(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "EdDSA", "typ": "JWT"}


def test_the_relay_does_not_learn_the_owners_address() -> None:
    subject = paying()
    assert "email" not in claims_of(leases.issue(subject, issued_for="runtime").token)
    assert claims_of(leases.issue(subject, issued_for="refresh").token)["email"]


def test_lives_24_hours_when_paid() -> None:
    lease = leases.issue(paying(), issued_for="runtime")
    claims = claims_of(lease.token)
    assert claims["exp"] - claims["iat"] == 24 * 3600
    assert lease.expires_at == datetime.fromtimestamp(claims["exp"], UTC)


def test_ends_with_the_trial() -> None:
    subject = organisation()
    end = timezone.now() + timedelta(hours=5)
    billing(subject, trial_ends_at=end)
    claims = claims_of(leases.issue(subject, issued_for="runtime").token)
    assert claims["exp"] == claims["trial_ends_at"] == int(end.timestamp())


def test_long_trial_still_gets_24_hours() -> None:
    subject = organisation()
    billing(subject)
    claims = claims_of(leases.issue(subject, issued_for="runtime").token)
    assert claims["exp"] - claims["iat"] == 24 * 3600


def test_host_is_normalised_before_it_is_signed() -> None:
    subject = paying()
    type(subject).objects.filter(pk=subject.pk).update(instance_host="T-A.Cloud.example.test:443")
    claims = claims_of(leases.issue(subject, issued_for="runtime").token)
    assert claims["instance_host"] == "t-a.cloud.example.test"


@pytest.mark.parametrize("case", group("host_normalisation"), ids=lambda case: repr(case["in"]))
def test_hosts_are_written_as_upstream_writes_them(case: dict[str, str]) -> None:
    assert normalised(case["in"]) == case["out"]


def test_cloud_capabilities_are_upstreams() -> None:
    expected = upstream("valid cloud lease")["claims"]["capabilities"]
    assert plans.capabilities_of("cloud_starter") == expected
    assert plans.capabilities_of(plans.TRIAL_PLAN) == expected
    assert plans.capabilities_of("cloud-v1") == expected


def test_unknown_plan_unlocks_no_relay() -> None:
    assert "relay" not in plans.capabilities_of("stripe_price:price_123")


def test_msp_plans_get_white_label() -> None:
    assert {"white_label", "multi_tenant", "relay"} <= set(plans.capabilities_of("msp_growth"))


def test_another_key_does_not_verify() -> None:
    token = leases.issue(paying(), issued_for="runtime").token
    stranger = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, stranger, algorithms=["EdDSA"], audience=leases.AUDIENCE)


def test_the_token_is_not_in_the_objects_text() -> None:
    lease = leases.issue(paying(), issued_for="runtime")
    assert lease.token not in repr(lease) + str(lease)
    assert SigningKey.objects.filter(active=True).count() == 1
