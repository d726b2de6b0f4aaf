"""What a deletion means to the people of an organisation: they are told, and in the end let go."""

from __future__ import annotations

from audit import trail
from audit.actors import Actor
from tenants.deletion import notices, people
from tenants.effects import Effect
from tenants.models import Organisation


class PeopleEffect(Effect):
    """Tells the owner when a deletion is asked for and when it is cancelled; a purge cuts all ties."""

    name = "people"

    def pending_deletion(self, organisation: Organisation) -> None:
        notices.requested(organisation)

    def restored(self, organisation: Organisation) -> None:
        notices.cancelled(organisation)

    def purge(self, organisation: Organisation) -> None:
        removed = people.cut(organisation)
        if removed:
            trail.record(
                action="org_people_removed",
                actor=Actor.system("reaper"),
                organisation=organisation.pk,
                subject=organisation.label,
                after={"people_removed": removed},
            )
