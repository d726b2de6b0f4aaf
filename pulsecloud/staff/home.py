"""The first page: what needs attention now, the figures and how they moved, what happened last.

A fixed number of queries, whatever there is to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.urls import reverse

from audit.models import Event
from billing.models import SigningKey
from pulsecloud import figures
from pulsecloud.figures import Figures
from pulsecloud.staff import badges, charts, home_charts, last_proof, second_factor
from pulsecloud.staff.words import age
from tenants.models import (
    Organisation,
    ReadinessKind,
    ReadinessRecord,
    Rollout,
    Stage,
    State,
)
from tenants.states import ENDED

LATEST: Final = 6
_THE_LAST: Final = {
    ReadinessKind.PROVE: "The last proof was",
    ReadinessKind.LIFECYCLE_DRILL: "The last life-cycle drills were",
    ReadinessKind.RBAC_DRILL: "The last RBAC drills were",
}
SPAN_KEY: Final = "span"
_COMMANDS: Final = {
    ReadinessKind.PROVE: "manage.py prove",
    ReadinessKind.LIFECYCLE_DRILL: "manage.py drill lifecycle",
    ReadinessKind.RBAC_DRILL: "manage.py drill rbac",
}
SLOW_QUEUE: Final = 60.0  # seconds that a due job may wait before it is worth a look


@dataclass(frozen=True)
class Notice:
    """Something that a person should look at; `tone` is bad or warn."""

    tone: str
    text: str
    address: str = ""


@dataclass(frozen=True)
class Tile:
    title: str
    value: str
    note: str
    address: str
    tone: str = ""


@dataclass(frozen=True)
class Bar:
    """One state's share of all organisations; `share` is a whole percentage of the largest."""

    label: str
    count: int
    share: int
    tone: str
    address: str


@dataclass(frozen=True)
class Readiness:
    """The last record of one kind, in words."""

    title: str
    badge: str
    note: str
    address: str


def context(request: HttpRequest) -> dict[str, Any]:
    """What templates/staff/home.html shows; `figures` is None while the database is too slow."""
    span = charts.span(request.GET.get(SPAN_KEY, ""))
    try:
        now = figures.read()
        moves = home_charts.read(span)
    except DatabaseError:
        return {"figures": None}
    records = _last_records()
    proof = records.get(ReadinessKind.PROVE)
    rollout = Rollout.objects.filter(pk=1).first() or Rollout()
    return {
        "figures": now,
        "charts": moves.charts,
        "budgets": moves.budgets,
        "spans": [(each, each == span) for each in charts.SPANS],
        "span": span,
        "readiness": list(_readiness(records)),
        "rollout": rollout,
        "offer_second_factor": not second_factor.is_on(request),
        "notices": list(_notices(now, records, rollout)),
        "tiles": _tiles(now, proof),
        "bars": _bars(now),
        "organisations": _latest_organisations(),
        "events": Event.objects.order_by("-id")[:LATEST],
        "stage": Stage(rollout.stage).label,
        "hosted_mode": settings.HOSTED_MODE,
    }


def _list(model: str, **query: str) -> str:
    return reverse(f"admin:{model}_changelist") + (f"?{urlencode(query)}" if query else "")


def _last_records() -> dict[ReadinessKind, ReadinessRecord]:
    """The newest of each kind, in one query."""
    newest = ReadinessRecord.objects.order_by("kind", "-started_at").distinct("kind")
    return {ReadinessKind(record.kind): record for record in newest}


def _readiness(records: dict[ReadinessKind, ReadinessRecord]) -> Iterator[Readiness]:
    for kind in ReadinessKind:
        record = records.get(kind)
        if record is None:
            badge = badges.badge("never", badges.WARN)
            note, address = f"Run {_COMMANDS[kind]}", _list("tenants_readinessrecord")
        else:
            fresh = last_proof.is_fresh(record) if kind == ReadinessKind.PROVE else True
            tone = (badges.GOOD if fresh else badges.WARN) if record.passed else badges.BAD
            badge = badges.badge("passed" if record.passed else "blocked", tone)
            note = f"{age(record.started_at)}, {last_proof.summary(record)}"
            address = reverse("admin:tenants_readinessrecord_change", args=[record.pk])
        yield Readiness(str(kind.label)[:1].upper() + str(kind.label)[1:], badge, note, address)


def _notices(
    now: Figures, records: dict[ReadinessKind, ReadinessRecord], rollout: Rollout
) -> Iterator[Notice]:
    organisations = "tenants_organisation"
    if not settings.HOSTED_MODE:
        yield Notice("warn", "Hosted mode is off: hosted routes answer 404 and nothing is set up.")
    if not SigningKey.objects.filter(active=True).exists():
        yield Notice("bad", "There is no signing key: no lease can be issued. Run "
                     "`manage.py keys ensure`.", _list("billing_signingkey"))  # fmt: skip
    if now.unregistered:
        yield Notice("bad", f"{_many(now.unregistered, 'active organisation')} without a relay "
                     "registration: no phone can reach them.",
                     _list(organisations, reachable="unregistered"))  # fmt: skip
    if silent := now.builtin - now.connected:
        yield Notice("bad", f"{_many(silent, 'active organisation')} not connected to the relay.",
                     _list(organisations, reachable="no"))  # fmt: skip
    if failed := now.organisations[State.FAILED]:
        yield Notice("bad", f"Provisioning failed for {_many(failed, 'organisation')}.",
                     _list(organisations, stuck="failed", which="customers"))  # fmt: skip
    if failed := now.jobs["failed"]:
        yield Notice("warn", f"{_many(failed, 'failed job')}.",
                     _list("procrastinate_procrastinatejob", wrong="failed"))  # fmt: skip
    if now.job_wait > SLOW_QUEUE:
        waiting = f"A job has been waiting for {now.job_wait / 60:.0f} minutes"
        address = _list("procrastinate_procrastinatejob", wrong="open")
        yield Notice("bad", f"{waiting}: is the worker running?", address)
    if now.mail_failed:
        yield Notice("warn", f"{_many(now.mail_failed, 'mail')} could not be sent.",
                     _list("tenants_outboxmail", sent="failed"))  # fmt: skip
    if now.trail.stuck:
        yield Notice("bad", "Audit events are not being sealed. Run `manage.py audit seal`; it "
                     "says why.", _list("audit_batch"))  # fmt: skip
    for record in records.values():
        if not record.passed:
            address = reverse("admin:tenants_readinessrecord_change", args=[record.pk])
            what = f"{_THE_LAST[ReadinessKind(record.kind)]} blocked"
            yield Notice("bad", f"{what}: {last_proof.summary(record)}", address)
    if rollout.signups_stopped_at is not None:
        yield Notice("warn", f"Sign-ups are stopped, since {age(rollout.signups_stopped_at)}: "
                     f"{rollout.signups_stop_reason}")  # fmt: skip


def _tiles(now: Figures, proof: ReadinessRecord | None) -> list[Tile]:
    connected = f"{now.connected} of {now.builtin}" if now.builtin else "none yet"
    return [
        Tile(
            "Active organisations",
            str(now.active),
            f"{_many(now.organisations[State.SUSPENDED], 'suspended', '')}, "
            f"{now.organisations[State.PENDING_DELETION]} to be deleted",
            _list("tenants_organisation", state__exact=State.ACTIVE),
        ),
        Tile(
            "Connected to the relay",
            connected,
            f"{_many(now.phones, 'phone')} connected now"
            if now.builtin
            else "No active organisation uses the built-in runtime.",
            _list("tenants_organisation", reachable="yes"),
            "good" if now.builtin and now.connected == now.builtin else "bad" * bool(now.builtin),
        ),
        Tile(
            "Sign-ups today",
            str(now.requested_today),
            f"{_many(now.provisioned_today, 'organisation')} provisioned, since midnight UTC",
            _list("tenants_organisation", which="customers"),
        ),
        Tile(
            "Jobs",
            f"{now.jobs['todo'] + now.jobs['doing']} open",
            f"{now.jobs['failed']} failed; the oldest due one waits {now.job_wait:.0f} s",
            _list("procrastinate_procrastinatejob", wrong="open"),
            "bad" if now.job_wait > SLOW_QUEUE else "warn" if now.jobs["failed"] else "good",
        ),
        _proof_tile(proof),
    ]


def _proof_tile(proof: ReadinessRecord | None) -> Tile:
    address = _list("tenants_readinessrecord")
    if proof is None:
        return Tile("Last proof", "never", "Run manage.py prove", address, "warn")
    when = age(proof.started_at)
    if not proof.passed:
        return Tile("Last proof", "blocked", when, address, "bad")
    if not last_proof.is_fresh(proof):
        return Tile("Last proof", "passed", f"{when}: too old to say much.", address, "warn")
    return Tile("Last proof", "passed", f"{when}, {last_proof.summary(proof)}", address, "good")


def _bars(now: Figures) -> list[Bar]:
    most = max(now.organisations.values()) or 1
    return [
        Bar(
            State(state).label,
            count,
            round(100 * count / most),
            badges.STATES[State(state)],
            _list("tenants_organisation", state__exact=state, which="customers"),
        )
        for state, count in now.organisations.items()
        if count or state not in ENDED
    ]


def _latest_organisations() -> list[Organisation]:
    latest = Organisation.objects.filter(canary=False).order_by("-created_at")
    return list(latest.select_related("registration", "relay_status")[:LATEST])


def _many(count: int, one: str, plural: str = "s") -> str:
    return f"{count} {one}{'' if count == 1 else plural}"
