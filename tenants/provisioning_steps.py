"""The first and the last provisioning step: the organisation's schema, and its going live."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import metrics, notify, schemas, states
from tenants.models import Organisation, State


class SchemaStep:
    """Makes the schema. It never adopts one that exists: that is another customer's data (F05)."""

    name = "schema"

    def do(self, organisation: Organisation) -> None:
        schemas.create_schema(organisation.schema_name)

    def undo(self, organisation: Organisation) -> None:
        schemas.drop_schema(organisation.schema_name)


class ActivateStep:
    """Opens the door: provisioning becomes active, and the runtime is told to connect."""

    name = "active"

    def do(self, organisation: Organisation) -> None:
        organisation.refresh_from_db()
        if organisation.state == State.ACTIVE:
            return
        states.move(organisation, State.ACTIVE)
        now = timezone.now()
        organisation.provisioned_at, organisation.failure = now, ""
        organisation.save()
        proved = organisation.mailbox_proved_at
        transaction.on_commit(lambda: metrics.provisioning_took(proved, now))
        trail.record(
            action="org_activated",
            actor=Actor.system("provisioning"),
            organisation=organisation.pk,
            before={"state": State.PROVISIONING.value},
            after={"state": State.ACTIVE.value, "label": organisation.label},
        )
        notify.notify(notify.RUNTIME, organisation.pk)

    def undo(self, organisation: Organisation) -> None:
        if Organisation.objects.filter(pk=organisation.pk, state=State.ACTIVE).update(
            state=State.PROVISIONING, provisioned_at=None
        ):
            organisation.refresh_from_db()
            notify.notify(notify.RUNTIME, organisation.pk)
