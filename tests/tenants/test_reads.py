"""A query that is built once answers as the query itself would."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from billing.models import BillingState
from tenants.models import Membership, Organisation
from tenants.reads import Read
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, owner_of

pytestmark = pytest.mark.django_db


def members() -> Read[Membership]:
    return Read(
        lambda organisation: (
            Membership.objects.filter(organisation=organisation)
            .select_related("user", "organisation__billing")
            .order_by("pk")
        ),
        organisation=UUID(int=1),
    )


def test_works() -> None:
    organisation, read = make_organisation(), members()
    person = add_member(organisation)
    for _ in range(2):  # built, then used again
        found = read.all(organisation=organisation.pk)
        wanted = list(Membership.objects.filter(organisation=organisation).order_by("pk"))
        assert found == wanted
        assert [vars(f)["role"] for f in found] == [w.role for w in wanted]
        assert [f.added_at for f in found] == [w.added_at for w in wanted]
    with transaction.atomic():
        assert found[1].user == person and found[1].user.email == person.email
    assert read.first(organisation=organisation.pk) == wanted[0]
    assert read.first(organisation=uuid4()) is None and read.all(organisation=uuid4()) == []


def test_values_do_not_stay() -> None:
    mine, other, read = make_organisation(), make_organisation(), members()
    for organisation in (mine, other, mine):
        found = read.first(organisation=organisation.pk)
        assert found is not None and found.user == owner_of(organisation)


def test_joined_rows_come_whole_or_not_at_all() -> None:
    organisation, read = make_organisation(), members()
    found = read.first(organisation=organisation.pk)
    assert found is not None
    assert found.organisation.billing.capabilities == (
        BillingState.objects.get(organisation=organisation).capabilities
    )
    BillingState.objects.filter(organisation=organisation).delete()
    found = read.first(organisation=organisation.pk)
    assert found is not None and not hasattr(found.organisation, "billing")


def test_hostile_values_are_values() -> None:
    read = Read(lambda label: Organisation.objects.filter(label=label), label="sample")
    for text in ("' OR true --", "%s", '"; DROP TABLE x; --', "\\", "é\n"):
        assert read.first(label=text) is None


def test_it_reads_where_the_connection_is() -> None:
    """Built in one schema, run in another: the SQL names none."""
    from rbac.models import Role

    mine, other = make_organisation(), make_organisation()
    read = Read(lambda id: Role.objects.filter(id=id), id="sample")
    with in_schema(mine):
        Role.objects.create(id="own", name="Mine")
        assert read.first(id="own") is not None
    with in_schema(other):
        assert read.first(id="own") is None


def test_wrong_keywords_are_refused() -> None:
    with pytest.raises(TypeError):
        members().first(person=UUID(int=3))
    with pytest.raises(TypeError):
        Read(lambda label: Organisation.objects.all(), label="nowhere").first(label="x")


def test_after_a_failure_the_schema_is_told_again() -> None:
    """The switch travels with the query: one that fails takes it back."""
    organisation, read = make_organisation(), members()
    with in_schema(organisation):
        pass
    with pytest.raises(DatabaseError), transaction.atomic():
        read.all(organisation="no uuid")
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        assert cursor.fetchone()[0] == "public"
