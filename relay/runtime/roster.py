"""Which organisations the built-in runtime serves now, and what it needs to do so."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from relay.models import Registration
from relay.wire import identity
from tenants import sealing
from tenants.models import Runtime, State


@dataclass(frozen=True, slots=True)
class Served:
    """One organisation. Two that are equal need no new connection."""

    organisation: UUID
    instance_host: str
    instance_id: str
    sealed_identity_key: bytes = field(repr=False)
    sealed_licence: bytes | None = field(repr=False)

    def identity(self) -> identity.Identity:
        """Raises sealing.SealError."""
        context = str(self.organisation)
        private = sealing.open_sealed(self.sealed_identity_key, context=context)
        return identity.load(private.decode())

    def licence(self) -> str:
        """The attached licence, empty without one. Raises sealing.SealError."""
        if self.sealed_licence is None:
            return ""
        context = str(self.organisation)
        return sealing.open_sealed(self.sealed_licence, context=context).decode()


def served(organisation: UUID | None = None) -> dict[UUID, Served]:
    """Active organisations with the built-in runtime and a registration; none while hosted mode is
    off. With `organisation` only that one is looked at. Raises DatabaseError."""
    if not settings.HOSTED_MODE:
        return {}
    rows = Registration.objects.filter(
        organisation__state=State.ACTIVE, organisation__runtime=Runtime.BUILTIN
    )
    if organisation is not None:
        rows = rows.filter(organisation=organisation)
    columns = rows.values_list(
        "organisation_id",
        "organisation__instance_host",
        "instance_id",
        "sealed_identity_key",
        "sealed_licence",
    )
    return {
        key: Served(
            key, host, instance_id, bytes(sealed), None if licence is None else bytes(licence)
        )
        for key, host, instance_id, sealed, licence in columns.iterator(chunk_size=500)
    }
