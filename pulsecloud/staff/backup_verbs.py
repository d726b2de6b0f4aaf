"""What staff may do with backups, and what they are told before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db import Error

from audit.actors import Actor
from pulsecloud.staff.verbs import Verb, VerbRefused
from tenants.backups import keeping, making, restoring
from tenants.models import Backup, BackupKind, BackupState, Organisation

SHOWN: Final = 30  # differences on the page that asks; the command lists them all


def _back_up(organisation: Organisation, actor: Actor, reason: str) -> None:
    try:
        making.back_up(
            organisation=organisation, kind=BackupKind.MANUAL, actor=actor, reason=reason
        )
    except making.BackupFailed as failed:
        raise VerbRefused(str(failed)) from failed


def _put_back(backup: Backup, actor: Actor, reason: str) -> None:
    try:
        restoring.restore(
            organisation=backup.organisation, backup=backup, actor=actor, reason=reason
        )
    except restoring.RestoreRefused as refused:
        raise VerbRefused(str(refused)) from refused
    except (Error, OSError) as error:
        raise VerbRefused(f"It failed, and nothing was changed: {error}") from error


def _nothing_to_keep(organisation: Any) -> str:
    if organisation.state in keeping.LIVING:
        return ""
    return f"is {organisation.get_state_display()}"


def _no_good(backup: Any) -> str:
    if backup.state != BackupState.DONE:
        return f"is {backup.get_state_display().lower()}"
    return _nothing_to_keep(backup.organisation)


def what_would_change(backup: Any) -> Sequence[str]:
    """A dry run, in sentences: the file is read and verified, a schema is made of it and dropped."""
    organisation = backup.organisation
    try:
        plan = restoring.plan(organisation=organisation, backup=backup)
    except restoring.RestoreRefused as refused:
        return [f"It would be refused now: {refused}"]
    except (Error, OSError) as error:
        return [f"It would fail now: {error}"]
    found = list(_told(plan))
    more = [
        f"And {len(found) - SHOWN} more differences: manage.py org_restore --dry-run lists them."
    ]
    made = f"{backup.made_at:%Y-%m-%d %H:%M:%S} UTC"
    return [
        f"It concerns {organisation.display_name} ({organisation.label}), as it was on {made}. The file "
        "was read and verified just now.",
        *(found[:SHOWN] or ["Nothing differs from what it has now, except what is revoked."]),
        *(more if len(found) > SHOWN else []),
    ]


def _told(plan: restoring.Plan) -> Iterator[str]:
    if plan.nothing_to_keep:
        yield "Its tables are gone: nothing of now can be backed up first, and this cannot be undone."
    if plan.owner_stays:
        yield "Its present owner stays, with all rights: the one of then has no open account any more."
    if plan.missing_people:
        yield f"{plan.missing_people} of its people of then have no account any more; they stay away."
    for kind, differences in (("Person", plan.people), ("Rights", plan.access)):
        for each in differences:
            before, after = ", ".join(each.before) or "nothing", ", ".join(each.after) or "nothing"
            yield f"{kind}: {each.subject.removeprefix('user ')}: {before} → {after}."
    for table, then in plan.rows.items():
        now = plan.rows_now.get(table)
        if now != then:
            yield f"Rows of {table}: {'gone' if now is None else now} now, {then} then."
    if plan.migrated:
        yield f"The backup is of an older release: {', '.join(plan.migrated)} will be applied."


BACK_UP = Verb(
    name="back_up",
    title="Back up",
    done="Backed up",
    permission="tenants.change_organisation",
    consequences=(
        "Its data is copied as it is at one moment, encrypted, and read back before it counts.",
        "Nobody is kept out meanwhile. The copy goes when its time is over. When the organisation is "
        "deleted it stays until the date in the deletion's receipt at most.",
    ),
    unfit=_nothing_to_keep,
    run=_back_up,
    icon="backup",
)
PUT_BACK = Verb(
    name="put_back",
    title="Put back",
    done="Put back",
    permission="tenants.change_backup",
    consequences=(
        "What it has now is backed up first, if it can be read, so that this can be undone.",
        "Its roles, people, group mappings and single sign-on become what they were then.",
        "Every API token is revoked, those of the backup too; phones have to be paired again.",
        "Everybody is signed out of it. Its state, billing and relay identity stay as they are.",
    ),
    unfit=_no_good,
    names=lambda backup: f"{backup.organisation}, {str(backup)[:1].lower()}{str(backup)[1:]}",
    run=_put_back,
    icon="settings_backup_restore",
    reason_needed=True,
    dangerous=True,
    tells=what_would_change,
)
