"""Says what is left of an organisation anywhere in the database.

Found by looking, not by remembering: every row of every table in `public` is searched as text for
the organisation's id, schema name, host, instance id and removed people, whatever the column is
called and whether or not it is a foreign key. A room that forgets to clean up shows without anybody
having listed its tables here.
"""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

from django.db import connection

from audit.models import Event
from tenants.models import Organisation, Session, State

# What may remember a purged organisation, and why.
_EXEMPT: Final = {
    "tenants_backup": "encrypted copies, until the date in the receipt; canaries have none",
    "tenants_organisation": "the tombstone itself, looked at below",
    "tenants_readinessrecord": "a proof names the canary that it made and removed",
    "audit_event": "the trail outlives what it is about",
    "tenants_deletionreceipt": "is what a customer can be shown; holds nothing about a person",
    "relay_server_blockedinstance": "keeps a tombstone's instance id out of service for ever",
}
# A canary leaves nothing of these.
_NOT_OF_CANARIES: Final = {"tenants_backup"}


def residue(organisation_id: UUID) -> list[str]:
    """One line per finding, such as `billing_lease: 2 rows`; empty when nothing is left.

    Reads whole tables: for proofs, drills and tests, not for requests.
    """
    organisation = Organisation.objects.filter(pk=organisation_id).first()
    if organisation is None:
        return ["tenants_organisation: no tombstone"]
    found = _tombstone(organisation)
    needles = _needles(organisation)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [organisation.schema_name])
        if cursor.fetchone():
            found.append(f"schema {organisation.schema_name}")
        # A restore that was killed leaves one that is nobody's yet, or any more (tenants.backups).
        cursor.execute(
            "SELECT nspname FROM pg_namespace WHERE obj_description(oid, 'pg_namespace') ~ %s"
            " ORDER BY nspname",
            [str(organisation.pk)],
        )
        found += [f"schema {name}, left by a restore" for (name,) in cursor.fetchall()]
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') ORDER BY relname"
        )
        exempt = _EXEMPT.keys() - (_NOT_OF_CANARIES if organisation.canary else set())
        tables = [row[0] for row in cursor.fetchall() if row[0] not in exempt]
        for table in tables:
            cursor.execute(
                f'SELECT count(*) FROM public."{table}" AS t WHERE t::text ~* %s',  # noqa: S608
                ["|".join(needles)],
            )
            if count := cursor.fetchone()[0]:
                found.append(f"{table}: {count} row{'s' if count > 1 else ''}")
    return found + _sessions(organisation)


def _needles(organisation: Organisation) -> list[str]:
    """Texts that only this organisation's rows hold; safe inside a regular expression."""
    host = organisation.instance_host
    needles = [
        str(organisation.pk),
        organisation.pk.hex,
        organisation.schema_name,
        r"\y" + host.replace(".", r"\."),
        # relay-protocol section 6.4; the relay's rooms cannot be asked from here.
        "relay_" + hashlib.sha256(f"hosted:{host}".encode()).hexdigest()[:16],
    ]
    purged = Event.objects.filter(action="org_people_removed", organisation=organisation.pk)
    for after in purged.values_list("after", flat=True):
        needles += (after or {}).get("people_removed", [])
    return needles


def _tombstone(organisation: Organisation) -> list[str]:
    """A tombstone holds no personal data."""
    found = []
    if organisation.state != State.DELETED:
        found.append(f"tenants_organisation: state {organisation.state}")
    if organisation.owner_email:
        found.append("tenants_organisation: the owner's address")
    return found


def _sessions(organisation: Organisation) -> list[str]:
    """Session data is encoded, so its text shows nothing; the columns beside it do."""
    count = Session.objects.filter(host=organisation.instance_host).count()
    return [f"sessions on its host: {count}"] if count else []
