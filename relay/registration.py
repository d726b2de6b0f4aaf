"""Makes an organisation reachable: identity, stable instance id, attached licence.

The registration is machine-owned (hosted-contract section 15.6): provisioning writes it, the
runtime reads it, and no settings call is needed or accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from audit import trail
from audit.actors import Actor
from relay import channels
from relay.models import Registration, RelayStatus
from relay.server.models import LicenceBinding, Session
from relay.wire import identity, instance_id
from tenants import sealing
from tenants.models import Organisation
from tenants.notify import notify


class LicenceRefused(Exception):
    """A licence that cannot be attached; `code` is stable, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Registered:
    """What the runtime needs of a registration, opened."""

    instance_id: str
    identity: identity.Identity
    licence: str


class RegistrationStep:
    """Provisioning step: identity and instance id, made once; nothing left when it is undone."""

    name = "registration"

    def do(self, organisation: Organisation) -> None:
        register(organisation)

    def undo(self, organisation: Organisation) -> None:
        forget(organisation)


def instance_id_for(host: str) -> str:
    """`relay_` and 16 hex digits, a pure function of the instance host (relay-protocol 6.4)."""
    return instance_id.of_host(host)


def register(organisation: Organisation) -> Registration:
    """The organisation's registration, made on the first call. The caller locks the organisation."""
    existing = Registration.objects.filter(organisation=organisation).first()
    if existing is None:
        made = identity.make()
        existing = Registration.objects.create(
            organisation=organisation,
            instance_id=instance_id_for(organisation.instance_host),
            identity_public_key=made.public_key,
            identity_fingerprint=made.fingerprint,
            sealed_identity_key=sealing.seal(
                made.private_key.encode(), context=str(organisation.pk)
            ),
        )
    RelayStatus.objects.get_or_create(organisation=organisation)
    notify(channels.RUNTIME, str(organisation.pk))
    return existing


def forget(organisation: Organisation) -> None:
    """Takes everything away that `register` and the relay wrote; a blocked-instance row stays."""
    for registration in Registration.objects.filter(organisation=organisation):
        Session.objects.filter(instance_id=registration.instance_id).delete()
        registration.delete()
        notify(channels.RELAY, registration.instance_id)
    Session.objects.filter(organisation=organisation.pk).delete()
    LicenceBinding.objects.filter(organisation=organisation.pk).delete()
    RelayStatus.objects.filter(organisation=organisation).delete()
    notify(channels.RUNTIME, str(organisation.pk))


def opened(registration: Registration) -> Registered:
    """Unseals what the runtime signs and registers with. Raises sealing.SealError."""
    context = str(registration.organisation_id)
    private = sealing.open_sealed(bytes(registration.sealed_identity_key), context=context)
    licence = b""
    if registration.sealed_licence is not None:
        licence = sealing.open_sealed(bytes(registration.sealed_licence), context=context)
    return Registered(
        instance_id=registration.instance_id,
        identity=identity.load(private.decode()),
        licence=licence.decode(),
    )
