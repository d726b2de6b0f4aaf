"""Puts one organisation back as a backup has it: into a new schema, verified, switched to at once.

Whatever fails before the switch leaves the organisation as it was. The switch is one transaction; what
was before stands in a backup of its own, made first. Requests go on meanwhile, in the old schema.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import structlog
from django.conf import settings
from django.db import Error, transaction

from audit import trail
from audit.actors import Actor
from tenants import addresses, effects, faults, mail, metrics, schemas, signals, states
from tenants import versions as cached
from tenants.accounts import sessions
from tenants.backups import contents, loading, making, public_rows
from tenants.backups.keeping import LIVING
from tenants.backups.loading import Built, RestoreRefused
from tenants.models import (
    Backup,
    BackupKind,
    BackupState,
    Link,
    MemberRole,
    Membership,
    Organisation,
    User,
)
from tenants.notify import RUNTIME, notify

__all__ = ["Difference", "Plan", "RestoreRefused", "newest", "plan", "restore"]

log = structlog.get_logger(__name__)

LISTED: Final = 200  # differences in an audit row; a plan has them all


@dataclass(frozen=True)
class Difference:
    """What somebody or something has now, and what it will have. Empty: nothing, or not there."""

    subject: str
    before: list[str]
    after: list[str]


@dataclass(frozen=True)
class Plan:
    """What putting back changes. `rows` and `rows_now` are of each table of the schema; None: the table
    is gone. `people` are memberships, `access` roles, permissions, assignments and group mappings."""

    backup: Backup
    rows: dict[str, int]
    rows_now: dict[str, int | None]
    migrated: list[str]
    people: list[Difference]
    access: list[Difference]
    missing_people: int
    owner_stays: bool
    kept: Backup | None = None  # of what was there before; a plan has none

    @property
    def nothing_to_keep(self) -> bool:
        """Whether all tables are gone: then putting back cannot be undone."""
        return all(self.rows_now.get(name) is None for name in self.rows)

    def facts(self) -> dict[str, Any]:
        """For --json."""
        return {
            "backup": str(self.backup.pk),
            "made_at": self.backup.made_at.isoformat(timespec="seconds"),
            "kind": self.backup.kind,
            "tables": {
                name: {"now": self.rows_now.get(name), "then": rows}
                for name, rows in self.rows.items()
            },
            "migrations": self.migrated,
            "people": [vars(each) for each in self.people],
            "access": [vars(each) for each in self.access],
            "people_without_account": self.missing_people,
            "owner_stays": self.owner_stays,
            "kept": str(self.kept.pk) if self.kept else None,
        }


def newest(organisation: Organisation) -> Backup | None:
    """The one to take when nobody says which: not what was kept before an earlier restore."""
    return (
        organisation.backups.filter(state=BackupState.DONE)
        .exclude(kind=BackupKind.BEFORE_RESTORE)
        .order_by("-made_at")
        .first()
    )


def plan(*, organisation: Organisation, backup: Backup) -> Plan:
    """What `restore` would do, after really doing the first half: the file was read, a schema built from
    it, verified and dropped again. Raises RestoreRefused."""
    _refuse(organisation, backup)
    with loading.alone(organisation.pk):
        built = loading.build(backup)
        try:
            return _compared(organisation, backup, built)
        finally:
            schemas.drop_schema(built.schema)


def restore(*, organisation: Organisation, backup: Backup, actor: Actor, reason: str) -> Plan:
    """Makes the organisation's schema, people and single sign-on what they were in the backup.

    All API tokens and refresh tokens are revoked (phones pair again) and sessions on its host end.
    Its state, billing and relay identity stay. Returns what it changed. Raises RestoreRefused, and
    nothing has changed then.
    """
    if not reason.strip():
        raise RestoreRefused("missing_reason", "Say why.")
    _refuse(organisation, backup)
    try:
        with loading.alone(organisation.pk):
            organisation.refresh_from_db()
            kept = _keep_what_is_there(organisation, actor, reason)
            built = loading.build(backup)
            old = organisation.schema_name
            try:
                what = replace(_compared(organisation, backup, built), kept=kept)
                faults.point("restore_built")
                with transaction.atomic():
                    _switch(organisation, backup, built, what, actor, reason)
            except BaseException:
                with suppress(Error):  # a lost connection: the worker drops it later
                    schemas.drop_schema(built.schema)
                raise
            faults.point("restore_switched")
            loading.drop_soon(old)
    except (RestoreRefused, Error, OSError):
        metrics.put_back(False)
        raise
    organisation.refresh_from_db()
    return what


def _refuse(organisation: Organisation, backup: Backup) -> None:
    if backup.organisation_id != organisation.pk:
        raise RestoreRefused("wrong_organisation", "The backup is another organisation's.")
    if backup.state != BackupState.DONE:
        raise RestoreRefused(
            "not_done", f"The backup is {backup.get_state_display().lower()}; choose another."
        )
    if organisation.state not in LIVING:
        raise RestoreRefused(
            "org_not_ready",
            f"An organisation that is {organisation.get_state_display()} is not put back.",
        )


def _keep_what_is_there(organisation: Organisation, actor: Actor, reason: str) -> Backup | None:
    """A restore can be undone, unless what it replaces is too broken to be read. When it can be read
    and not be written, as on a full disk, it waits: raises RestoreRefused."""
    if not schemas.schema_exists(organisation.schema_name):
        return None
    try:
        return making.back_up(
            organisation=organisation,
            kind=BackupKind.BEFORE_RESTORE,
            actor=actor,
            reason=reason,
        )
    except making.BackupFailed as failed:
        if not isinstance(failed.__cause__, Error):
            text = f"What it has now could not be backed up first. {failed}"
            raise RestoreRefused("not_kept", text) from failed
        log.warning("no backup before a restore", organisation=str(organisation.pk), exc_info=True)
        return None


def _compared(organisation: Organisation, backup: Backup, built: Built) -> Plan:
    then, now = public_rows.people(organisation, built.public), public_rows.now(organisation)
    names = {str(user.pk): str(user) for user in User.objects.filter(pk__in=[*now, *then.roles])}
    names |= public_rows.providers(organisation, built.public)
    return Plan(
        backup=backup,
        rows=built.rows,
        rows_now=_rows_now(organisation, built),
        migrated=built.migrated,
        people=_differing(
            {f"user {user}": [role] for user, role in now.items()},
            {f"user {user}": [str(role)] for user, role in then.roles.items()},
            names,
        ),
        access=_differing(_access(organisation), _access(_as(organisation, built.schema)), names),
        missing_people=then.missing,
        owner_stays=then.kept_owner,
    )


def _switch(
    organisation: Organisation, backup: Backup, built: Built, what: Plan, actor: Actor, reason: str
) -> None:
    current = states.locked(organisation)
    _refuse(current, backup)
    if current.schema_name != organisation.schema_name:
        raise RestoreRefused("restore_running", "It was put back by somebody else meanwhile.")
    old = current.schema_name
    then = public_rows.people(current, built.public)
    came_back = public_rows.put_back(current, built.public)
    current.schema_name = built.schema
    current.save(update_fields=["schema_name", *public_rows.OWN_FIELDS, "changed_at"])
    loading.mark_used(built.schema)
    if schemas.schema_exists(old):
        loading.mark_replaced(old, current.pk)
    if then.kept_owner:  # whom the backup may not know, or as less
        signals.member_changed.send(
            Membership, organisation=current, user_id=then.owner, actor=actor,
            before=then.owner_was, after=str(MemberRole.OWNER),
        )  # fmt: skip
    for effect in effects.effects():
        effect.put_back(current)
    sessions.end(hosts=[current.instance_host])
    Link.objects.filter(organisation=current, used_at=None).delete()
    cached.move_on(current.pk)
    notify(RUNTIME, current.pk)
    trail.record(
        action="org_data_restored",
        actor=actor,
        organisation=current.pk,
        subject=current.label,
        reason=reason,
        before={"rows": _total(what.rows_now), "access": _told(what, "before")},
        after={
            "rows": sum(what.rows.values()),
            "access": _told(what, "after"),
            "backup": str(backup.pk),
            "made_at": backup.made_at.isoformat(timespec="seconds"),
            "came_back": came_back,
            "kept": str(what.kept.pk) if what.kept else None,
        },
    )
    _tell_owner(current, backup, kept=what.kept is not None)
    transaction.on_commit(lambda: metrics.put_back(True))


def _tell_owner(organisation: Organisation, backup: Backup, *, kept: bool) -> None:
    """Who is signed out and finds yesterday's data must not have to guess why."""
    if organisation.canary or not organisation.owner_email:
        return
    mail.send_later(
        to=organisation.owner_email,
        subject=f"The data of {organisation.display_name} was put back",
        template="data_restored",
        context={
            "organisation": organisation,
            "made_at": backup.made_at,
            "kept": kept,
            "link": addresses.on_base(f"/o/{organisation.label}/") if settings.PUBLIC_URL else "",
        },
    )


def _told(what: Plan, when: str) -> dict[str, list[str]]:
    """Who had what, for the trail: memberships and access that differ."""
    differences = [*what.people, *what.access][:LISTED]
    return {f"{number}: {d.subject}": getattr(d, when) for number, d in enumerate(differences, 1)}


def _rows_now(organisation: Organisation, built: Built) -> dict[str, int | None]:
    with contents.one_moment(organisation.schema_name):
        there = {table.name: table for table in contents.tables(organisation.schema_name)}
        return {
            name: contents.digest(contents.table_bytes(there[name]))[0] if name in there else None
            for name in built.rows
        }


def _total(rows: dict[str, int | None]) -> int:
    return sum(count or 0 for count in rows.values())


def _access(organisation: Organisation) -> dict[str, list[str]]:
    """What other rooms say of who may do what there; nothing when it cannot be read any more."""
    found: dict[str, list[str]] = {}
    with suppress(Error, schemas.SchemaError), transaction.atomic():
        for _, answer in signals.access_asked.send(Organisation, organisation=organisation):
            found |= cast("dict[str, list[str]]", answer)
    return found


def _as(organisation: Organisation, schema: str) -> Organisation:
    """The same organisation, looking into another schema. Never saved."""
    other = copy.copy(organisation)
    other.schema_name = schema
    return other


def _differing(
    before: dict[str, list[str]], after: dict[str, list[str]], names: dict[str, str]
) -> list[Difference]:
    """What differs, with the names of its people and providers in place of their ids."""
    differ = sorted(s for s in before.keys() | after.keys() if before.get(s) != after.get(s))
    return [Difference(_named(s, names), before.get(s, []), after.get(s, [])) for s in differ]


def _named(subject: str, names: dict[str, str]) -> str:
    """An id that is no member's and no provider's, then or now, is told as such and not shown: who
    that is somewhere else is nobody's business here."""
    kind, _, what = subject.partition(" ")
    if kind == "user":
        return f"user {names.get(what, 'who is no member')}"
    if kind == "group":
        provider, _, group = what.partition(" ")
        return f"group {group} of {names.get(provider, 'a provider that is gone')}"
    return subject
