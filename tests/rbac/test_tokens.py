"""API tokens: shown once, stored hashed, and dead at once when they should be."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from rbac import tasks, tokens
from rbac.effects import TokensEffect
from rbac.models import ApiToken
from tenants.models import Membership, Organisation, State
from tenants.people import membership
from tenants.schemas import SchemaMissing, in_schema
from tests.factories import make_organisation, make_user, owner_of

ACTOR = Actor.system("test")
pytestmark = pytest.mark.django_db


def issue(organisation: Organisation, **options: Any) -> tuple[ApiToken, str]:
    options.setdefault("user", owner_of(organisation))
    return tokens.issue(organisation, name="phone", scopes=["*"], actor=ACTOR, **options)


def found(organisation: Organisation, secret: str) -> ApiToken | None:
    with in_schema(organisation):
        return tokens.find(secret)


def change(organisation: Organisation, token: ApiToken, **values: Any) -> None:
    with in_schema(organisation):
        ApiToken.objects.filter(pk=token.pk).update(**values)


def test_works() -> None:
    organisation = make_organisation()
    token, secret = issue(organisation)
    assert len(secret) == 64 and set(secret) <= set("0123456789abcdef")
    assert found(organisation, secret) == token
    assert tokens.is_valid(organisation, secret)


def test_the_secret_is_stored_nowhere() -> None:
    organisation = make_organisation()
    token, secret = issue(organisation)
    with in_schema(organisation):
        row = ApiToken.objects.filter(pk=token.pk).values().get()
    assert secret not in str(row)
    assert row["token_hash"] == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(list(Event.objects.values()))


@pytest.mark.parametrize(
    "wrong", ["", "x", "ab" * 31, "ab" * 33, "AB" * 32, "ab" * 32 + "\n", "é" * 64]
)
def test_what_is_no_token_is_not_looked_up(wrong: str, django_assert_num_queries: Any) -> None:
    with in_schema(make_organisation()), django_assert_num_queries(0):
        assert tokens.find(wrong) is None


def test_the_prefix_alone_opens_nothing() -> None:
    organisation = make_organisation()
    _, secret = issue(organisation)
    assert found(organisation, secret[:8] + "0" * 56) is None


def test_two_tokens_with_one_prefix_are_told_apart() -> None:
    organisation = make_organisation()
    first, secret = issue(organisation)
    second, _ = issue(organisation)
    change(organisation, second, prefix=first.prefix)
    assert found(organisation, secret) == first


def test_is_unknown_to_another_organisation_of_the_same_person() -> None:
    person = make_user()
    mine, other = make_organisation(owner=person), make_organisation(owner=person)
    _, secret = issue(mine)
    assert found(other, secret) is None
    assert not tokens.is_valid(other, secret)


def test_expires() -> None:
    organisation = make_organisation()
    token, secret = issue(organisation, expires_at=timezone.now() + timedelta(hours=1))
    assert tokens.is_valid(organisation, secret)
    change(organisation, token, expires_at=timezone.now() - timedelta(seconds=1))
    assert found(organisation, secret) is None
    assert not tokens.is_valid(organisation, secret)


def test_dies_unused_and_lives_once_used() -> None:
    organisation = make_organisation()
    past = timezone.now() - timedelta(seconds=1)
    used, used_secret = issue(organisation, unused_for=timedelta(minutes=10))
    unused, unused_secret = issue(organisation, unused_for=timedelta(minutes=10))
    # Being asked whether it is valid is no use; being found for a request is.
    assert tokens.is_valid(organisation, unused_secret)
    assert found(organisation, used_secret) == used
    for token in (used, unused):
        change(organisation, token, unused_expires_at=past)
    assert found(organisation, used_secret) == used
    assert found(organisation, unused_secret) is None


def test_use_is_noted_at_most_once_a_minute() -> None:
    organisation = make_organisation()
    token, secret = issue(organisation)
    found(organisation, secret)
    with in_schema(organisation):
        first = ApiToken.objects.get(pk=token.pk).last_used_at
        tokens.find(secret)
        assert ApiToken.objects.get(pk=token.pk).last_used_at == first
    assert first is not None
    change(organisation, token, last_used_at=first - timedelta(minutes=2))
    found(organisation, secret)
    with in_schema(organisation):
        again = ApiToken.objects.get(pk=token.pk).last_used_at
    assert again is not None and again >= first


def test_revoking_ends_it_at_once() -> None:
    organisation = make_organisation()
    token, secret = issue(organisation)
    tokens.revoke(organisation, token.pk, actor=ACTOR, reason="lost phone")
    assert found(organisation, secret) is None
    assert not tokens.is_valid(organisation, secret)
    event = Event.objects.get(action="token_revoked", organisation=organisation.pk)
    assert (event.subject, event.reason) == (f"token {token.pk}", "lost phone")


def test_revoking_twice_does_nothing_more() -> None:
    organisation = make_organisation()
    token, _ = issue(organisation)
    first = tokens.revoke(organisation, token.pk, actor=ACTOR).revoked_at
    assert tokens.revoke(organisation, token.pk, actor=ACTOR).revoked_at == first
    assert Event.objects.filter(action="token_revoked", organisation=organisation.pk).count() == 1


def test_revoking_anothers_token_is_refused() -> None:
    mine, other = make_organisation(), make_organisation()
    token, secret = issue(mine)
    with pytest.raises(tokens.TokenMissing):
        tokens.revoke(other, token.pk, actor=ACTOR)
    assert tokens.is_valid(mine, secret)


@pytest.mark.parametrize("loss", ["inactive", "removed"])
def test_is_not_valid_without_its_person(loss: str) -> None:
    organisation = make_organisation()
    person = owner_of(organisation)
    _, secret = issue(organisation)
    if loss == "inactive":
        person.is_active = False
        person.save()
    else:
        Membership.objects.filter(user=person).delete()
    assert not tokens.is_valid(organisation, secret)


def test_one_made_during_a_removal_does_not_wake_up_when_its_person_joins_again() -> None:
    """Whoever issues has looked who they are before the removal, and commits after it."""
    organisation, person = make_organisation(), make_user()
    actor = Actor("person", str(owner_of(organisation).pk), "owner")
    who: Any = {"organisation": organisation, "user": person, "actor": actor}
    membership.add(role="editor", **who)
    older, older_secret = issue(organisation, user=person)
    membership.remove(**who)
    straggler, secret = issue(organisation, user=person)
    change(organisation, older, revoked_at=None)  # as if its revoking had been missed as well
    membership.add(role="editor", **who)
    for dead in (secret, older_secret):
        assert found(organisation, dead) is None
        assert not tokens.is_valid(organisation, dead)
        with in_schema(organisation):
            assert tokens.peek(dead) is None
    with in_schema(organisation):
        assert not tokens.living(user=person.pk).exists()
    with pytest.raises(tokens.TokenMissing):
        tokens.rename(organisation, straggler.pk, name="x", actor=ACTOR)
    fresh, fresh_secret = issue(organisation, user=person)
    assert found(organisation, fresh_secret) == fresh
    with in_schema(organisation):
        assert list(tokens.living(user=person.pk)) == [fresh]


def test_whoever_expects_another_state_changes_nothing() -> None:
    """The row is locked by then: nobody changes it between the look and the change."""
    organisation = make_organisation()
    token, secret = issue(organisation)
    seen: list[str] = []

    def refuse(current: ApiToken) -> None:
        assert connection.in_atomic_block
        seen.append(current.name)
        raise ValueError("not as expected")

    change(organisation, token, name="renamed meanwhile")
    with pytest.raises(ValueError, match="not as expected"):
        tokens.rename(organisation, token.pk, name="x", actor=ACTOR, expecting=refuse)
    with pytest.raises(ValueError, match="not as expected"):
        tokens.revoke(organisation, token.pk, actor=ACTOR, expecting=refuse)
    assert seen == ["renamed meanwhile"] * 2
    assert found(organisation, secret) is not None


def test_suspension_leaves_tokens_alone_and_a_purge_ends_them() -> None:
    organisation = make_organisation()
    _, secret = issue(organisation)
    effect = TokensEffect()
    for leave in (effect.suspended, effect.lifted, effect.pending_deletion, effect.restored):
        leave(organisation)
    assert tokens.is_valid(organisation, secret)
    effect.purge(organisation)
    effect.purge(organisation)
    assert not tokens.is_valid(organisation, secret)


def test_what_cannot_be_known_is_an_error_and_not_invalid() -> None:
    """The runtime turns "invalid" into AUTH_FAILED, on which a phone forgets its pairing."""
    organisation = make_organisation()
    _, secret = issue(organisation)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP SCHEMA "{organisation.schema_name}" CASCADE')
    with pytest.raises(SchemaMissing):
        tokens.is_valid(organisation, secret)
    assert not tokens.is_valid(make_organisation(State.PROVISIONING), secret)


def test_lists_live_ones_only() -> None:
    organisation = make_organisation()
    kept, _ = issue(organisation, purpose="relay_mobile_access")
    gone, _ = issue(organisation)
    issue(organisation)
    tokens.revoke(organisation, gone.pk, actor=ACTOR)
    with in_schema(organisation):
        assert gone not in tokens.listed()
        assert len(tokens.listed()) == 2
        assert tokens.listed(purpose="relay_mobile_access") == [kept]


def test_renaming_an_ended_one_is_refused() -> None:
    organisation = make_organisation()
    token, _ = issue(organisation)
    assert tokens.rename(organisation, token.pk, name="kitchen", actor=ACTOR).name == "kitchen"
    tokens.rename(organisation, token.pk, name="kitchen", actor=ACTOR)
    assert Event.objects.filter(action="token_renamed", organisation=organisation.pk).count() == 1
    tokens.revoke(organisation, token.pk, actor=ACTOR)
    with pytest.raises(tokens.TokenMissing):
        tokens.rename(organisation, token.pk, name="hall", actor=ACTOR)


@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION])
def test_long_ended_ones_are_forgotten(state: str) -> None:
    organisation = make_organisation(state)
    old, recent = (timezone.now() - timedelta(days=days) for days in (31, 29))
    kept: list[Any] = []
    gone: list[Any] = []
    for at, into in ((old, gone), (recent, kept)):
        for field in ("revoked_at", "expires_at", "unused_expires_at"):
            token, _ = issue(organisation)
            change(organisation, token, **{field: at})
            into.append(token.pk)
    living, _ = issue(organisation)
    used, _ = issue(organisation)
    change(organisation, used, unused_expires_at=old, last_used_at=old)
    tasks.forget_tokens(timestamp=0)
    with in_schema(organisation):
        assert set(ApiToken.objects.values_list("pk", flat=True)) == {*kept, living.pk, used.pk}


def test_one_broken_schema_does_not_stop_the_tidying() -> None:
    """A lost schema among many: the others are tidied, and the fault is logged."""
    organisations = [make_organisation() for _ in range(3)]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP SCHEMA "{organisations[1].schema_name}" CASCADE')
    assert tasks.everywhere(lambda: 1) >= 2
