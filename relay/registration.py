"""Makes an organisation reachable: identity, stable instance id, attached licence.

The registration is machine-owned (hosted-contract section 15.6): provisioning writes it, the
runtime reads it, and no settings call is needed or accepted.
"""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from audit import trail
from audit.actors import Actor
from relay.models import Registration, RelayStatus
from relay.server import credentials
from relay.server.keyring import Keyring
from relay.server.models import LicenceBinding, Session
from relay.wire import identity, instance_id
from relay.wire.frames import ErrorCode
from tenants import sealing
from tenants.models import Organisation, State
from tenants.notify import RELAY, RUNTIME, notify
from tenants.states import locked


class LicenceRefused(Exception):
    """A licence that cannot be attached; `code` is stable, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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
    notify(RUNTIME, str(organisation.pk))
    return existing


def register_missing(*, actor: Actor, reason: str = "") -> list[str]:
    """Registers every active organisation that lost its registration; returns their labels.

    Instance ids come back as they were. The identities are new, so paired phones must pair again:
    a registration restored from a backup spares them that.
    """
    labels = []
    for found in Organisation.objects.filter(state=State.ACTIVE, registration=None):
        with transaction.atomic():
            organisation = locked(found)
            if organisation.state != State.ACTIVE:
                continue
            registration = register(organisation)
            trail.record(
                action="relay_registered_again",
                actor=actor,
                organisation=organisation.pk,
                subject=registration.instance_id,
                reason=reason,
                after={"identity_fingerprint": registration.identity_fingerprint},
            )
        labels.append(organisation.label)
    return labels


def forget(organisation: Organisation) -> None:
    """Takes everything away that `register` and the relay wrote; a blocked-instance row stays."""
    for registration in Registration.objects.filter(organisation=organisation):
        Session.objects.filter(instance_id=registration.instance_id).delete()
        registration.delete()
        notify(RELAY, registration.instance_id)
    Session.objects.filter(organisation=organisation.pk).delete()
    LicenceBinding.objects.filter(organisation=organisation.pk).delete()
    RelayStatus.objects.filter(organisation=organisation).delete()
    notify(RUNTIME, str(organisation.pk))


def attach_licence(
    *, organisation: Organisation, token: str, actor: Actor, reason: str = ""
) -> Registration:
    """Has the organisation register with this licence instead of its lease.

    The relay is told which instance id the licence belongs to, so that id, phones and blocks stay.
    Raises LicenceRefused: `no_licence_key`, `invalid_licence`, `expired_licence`,
    `licence_in_use` (another organisation's), `not_registered`.
    """
    token = token.strip()
    licence_id = _verified(token)
    with transaction.atomic():
        organisation = locked(organisation)
        registration = Registration.objects.filter(organisation=organisation).first()
        if registration is None:
            raise LicenceRefused("not_registered", "The organisation has no relay registration.")
        held = LicenceBinding.objects.filter(licence_id=licence_id).first()
        if held is not None and held.instance_id != registration.instance_id:
            raise LicenceRefused("licence_in_use", "Another organisation has this licence.")
        before = registration.licence_id
        LicenceBinding.objects.filter(organisation=organisation.pk).delete()
        LicenceBinding.objects.create(
            licence_id=licence_id,
            instance_id=registration.instance_id,
            organisation=organisation.pk,
        )
        registration.sealed_licence = sealing.seal(token.encode(), context=str(organisation.pk))
        registration.licence_id = licence_id
        registration.save(update_fields=["sealed_licence", "licence_id"])
        _licence_changed("licence_attached", registration, before, actor, reason)
    return registration


def detach_licence(
    *, organisation: Organisation, actor: Actor, reason: str = ""
) -> Registration | None:
    """Back to the lease; does nothing without an attached licence."""
    with transaction.atomic():
        organisation = locked(organisation)
        registration = Registration.objects.filter(organisation=organisation).first()
        if registration is None or registration.sealed_licence is None:
            return registration
        before = registration.licence_id
        LicenceBinding.objects.filter(organisation=organisation.pk).delete()
        registration.sealed_licence, registration.licence_id = None, ""
        registration.save(update_fields=["sealed_licence", "licence_id"])
        _licence_changed("licence_detached", registration, before, actor, reason)
    return registration


def _verified(token: str) -> str:
    """The id of a genuine licence that includes the relay. Raises LicenceRefused."""
    if not settings.RELAY_PUBLIC_KEY:
        raise LicenceRefused(
            "no_licence_key", "No key is configured for licences (PULSE_RELAY_PUBLIC_KEY)."
        )
    verifier = credentials.Verifier(Keyring(settings.RELAY_PUBLIC_KEY), Keyring())
    try:
        credential = verifier.verify(token)
    except credentials.Refused as refused:
        expired = refused.code == ErrorCode.LICENSE_EXPIRED
        code = "expired_licence" if expired else "invalid_licence"
        raise LicenceRefused(code, f"The licence is not usable: {refused}.") from None
    if credential.kind != "licence":
        raise LicenceRefused("invalid_licence", f"This is a {credential.kind}, not a licence.")
    return credential.licence_id


def _licence_changed(
    action: str, registration: Registration, before: str, actor: Actor, reason: str
) -> None:
    trail.record(
        action=action,
        actor=actor,
        organisation=registration.organisation_id,
        subject=registration.instance_id,
        reason=reason,
        before={"licence_id": before},
        after={"licence_id": registration.licence_id},
    )
    notify(RUNTIME, registration.organisation_id)
