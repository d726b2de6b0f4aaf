"""What suspending, restoring and purging an organisation does at the relay (design section 6).

A blocked-instance row is written in the life-cycle transaction and read at every REGISTER and
CONNECT, because a lease stays valid for up to 24 hours after the organisation lost its right to
it. The row outlives a purge for the same reason, and because a tombstone's instance id must never
serve again: its label is never issued twice, so neither is the id. It holds the id and the
organisation's UUID, which the tombstone keeps as well, and no data of a person.
"""

from __future__ import annotations

from relay import registration, status
from relay.models import Registration
from relay.server.models import BlockedInstance
from tenants.effects import Effect
from tenants.models import Organisation, State
from tenants.notify import RELAY, RUNTIME, notify


class RelayEffect(Effect):
    """Blocks while an organisation is not active. Suspension never unpairs phones."""

    name = "relay"

    def suspended(self, organisation: Organisation) -> None:
        _block(organisation)

    def lifted(self, organisation: Organisation) -> None:
        _unblock(organisation)

    def pending_deletion(self, organisation: Organisation) -> None:
        _block(organisation)

    def restored(self, organisation: Organisation) -> None:
        """Restoring puts back what it was: a suspended organisation stays blocked."""
        if organisation.state == State.ACTIVE:
            _unblock(organisation)

    def purge(self, organisation: Organisation) -> None:
        _block(organisation)
        registration.forget(organisation)

    def counts(self, organisation: Organisation) -> dict[str, int]:
        """Sockets that would close: its instance's, and its phones' that are open through it."""
        seen = status.seen(organisation)
        return {"sockets": int(seen["connected"]) + int(seen["active_channels"])}


def _block(organisation: Organisation) -> None:
    for instance_id in _ids(organisation):
        BlockedInstance.objects.get_or_create(
            instance_id=instance_id, defaults={"organisation": organisation.pk}
        )
        notify(RELAY, instance_id)
    notify(RUNTIME, str(organisation.pk))


def _unblock(organisation: Organisation) -> None:
    for instance_id in _ids(organisation):
        BlockedInstance.objects.filter(instance_id=instance_id).delete()
        notify(RELAY, instance_id)
    notify(RUNTIME, str(organisation.pk))


def _ids(organisation: Organisation) -> list[str]:
    """The stored id; without a registration (provisioning failed half-way) the one it would get."""
    stored = Registration.objects.filter(organisation=organisation)
    return list(stored.values_list("instance_id", flat=True)) or [
        registration.instance_id_for(organisation.instance_host)
    ]
