"""What each room does when an organisation's life changes (settings.LIFECYCLE_EFFECTS).

The verbs of `tenants.lifecycle` call every effect in order, inside their own transaction: effects
write rows and call `tenants.notify.notify`, and touch no socket. A deletion runs their `purge` one
by one, each in a transaction of its own together with the note that it ran
(`tenants.deletion.reaper`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.conf import settings
from django.utils.module_loading import import_string

from tenants import schemas
from tenants.backups import loading
from tenants.models import Organisation


class Effect:
    """Does nothing; a room overrides what concerns it. The organisation is locked and current.

    `name` is what a deletion notes when `purge` has run: it is kept, so it never changes.
    """

    name: ClassVar[str]

    def suspended(self, organisation: Organisation) -> None:
        """It may not be reached any more. Phones stay paired."""

    def lifted(self, organisation: Organisation) -> None:
        """Its suspension ended."""

    def pending_deletion(self, organisation: Organisation) -> None:
        """It will be purged when its retention ends, and may not be reached until restored."""

    def restored(self, organisation: Organisation) -> None:
        """Its deletion was cancelled; `state` is what it was before."""

    def put_back(self, organisation: Organisation) -> None:
        """Its tables are a backup's now: no credential of then or of before may work any more."""

    def purge(self, organisation: Organisation) -> None:
        """Remove everything of this room that belongs to it. May run more than once."""

    def counts(self, organisation: Organisation) -> Mapping[str, int]:
        """What a purge would take that a count of rows does not show: {"sockets": 3}. Read-only."""
        return {}


class SchemaEffect(Effect):
    """The organisation's own tables go last: until then the other rooms may read them. With them
    go those of a restore that was cut off."""

    name = "schema"

    def purge(self, organisation: Organisation) -> None:
        loading.drop_leftovers(of=organisation.pk)
        schemas.drop_schema(organisation.schema_name)


def effects() -> list[Effect]:
    return [import_string(path)() for path in settings.LIFECYCLE_EFFECTS]
