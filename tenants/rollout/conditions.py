"""What has to be true before a stage may be entered (hosted-contract sections 26 and 28).

Each condition is evaluated when somebody asks, names the row that shows it and its age, and says
how to come by it. What software cannot see, staff may vouch for, for a time; what it does see,
nobody can vouch away.

    private beta   a fresh proof, both drills, RBAC isolation, playbooks
    public beta    48 watched hours since enabling without an alert; GA items 1, 2, 5, 7
    GA             the other GA items; a trail that is intact and an audit of the security

A stage asks for what the stages below it ask for, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from tenants.models import Attestation, Stage
from tenants.rollout import evidence
from tenants.rollout.evidence import Evidence, Finding, Look

ORDER: Final = (Stage.DEV, Stage.PRIVATE_BETA, Stage.PUBLIC_BETA, Stage.GA)


@dataclass(frozen=True)
class Rule:
    """`good_for` is how long staff may vouch for it at most; None: the software decides alone."""

    name: str
    title: str
    stage: Stage
    look: Callable[[Look], Finding]
    how_to: str
    good_for: timedelta | None = None


@dataclass(frozen=True)
class Condition:
    """A rule as it stands now. `says` tells what was found, `how_to` what makes it true."""

    name: str
    title: str
    stage: Stage
    met: bool
    says: str
    how_to: str
    evidence: Evidence | None
    attestable: bool
    attestation: Attestation | None = None

    @property
    def age(self) -> timedelta | None:
        """Of the evidence; None when there is none, or none with a date."""
        if self.evidence is None or self.evidence.at is None:
            return None
        return timezone.now() - self.evidence.at

    def as_json(self) -> dict[str, Any]:
        row, age = self.evidence, self.age
        return {
            "name": self.name,
            "title": self.title,
            "stage": str(self.stage),
            "met": self.met,
            "says": self.says,
            "how_to": "" if self.met else self.how_to,
            "evidence": None
            if row is None
            else {
                "kind": row.kind,
                "id": row.id,
                "at": row.at.isoformat(timespec="seconds") if row.at else None,
                "age_seconds": round(age.total_seconds()) if age is not None else None,
            },
            "attestable": self.attestable,
        }


RULES: Final = (
    Rule(
        "proof", "A proof passed in the last 24 hours", Stage.PRIVATE_BETA, evidence.proof,
        "Run `manage.py prove`.",
    ),
    Rule(
        "drill_lifecycle", "Life-cycle drills passed in the last 7 days", Stage.PRIVATE_BETA,
        evidence.lifecycle_drill, "Run `manage.py drill lifecycle`.",
    ),
    Rule(
        "drill_rbac", "RBAC drills passed in the last 7 days", Stage.PRIVATE_BETA,
        evidence.rbac_drill, "Run `manage.py drill rbac`.",
    ),
    Rule(
        "rbac_isolation", "No answer ever held another organisation's text", Stage.PRIVATE_BETA,
        evidence.nothing_seen,
        "Run `make test-isolation` on this version, then vouch for it with what it printed.",
        timedelta(days=90),
    ),
    Rule(
        "playbooks", "The runbook has playbooks P1 to P4", Stage.PRIVATE_BETA, evidence.playbooks,
        "Install docs/runbook.md with the product.",
    ),
    Rule(
        "watched", "48 watched hours since enabling, without an alert", Stage.PUBLIC_BETA,
        evidence.watched,
        "Have Prometheus scrape the product with ops/prometheus loaded, name it in "
        "PULSECLOUD_PROMETHEUS_URL, and wait; without one, vouch for what you watched.",
        timedelta(days=7),
    ),
    Rule(
        "ga_suspension", "GA 1: a suspended organisation is refused", Stage.PUBLIC_BETA,
        evidence.suspension, "Run `manage.py prove`: it suspends a canary and watches its doors.",
    ),
    Rule(
        "ga_reaper", "GA 2: the reaper deletes, and leaves a receipt", Stage.PUBLIC_BETA,
        evidence.reaper,
        "Look at Removals for what is stuck; with nothing to delete yet, vouch for a rehearsal.",
        timedelta(days=30),
    ),
    Rule(
        "ga_email", "GA 5: nobody is in without a proved mailbox", Stage.PUBLIC_BETA,
        evidence.mailboxes, "Run `manage.py prove`; suspend what came in without a proof.",
    ),
    Rule(
        "ga_limits", "GA 7: requests are counted for all processes", Stage.PUBLIC_BETA,
        evidence.limits,
        "Open a page of an organisation, or ask its API; if that is not counted, see `/readyz`.",
    ),
    Rule(
        # The release that brings billing by card puts a look at its events here.
        "ga_stripe", "GA 3: billing by Stripe", Stage.GA, evidence.billing_by_card,
        "Nothing to do here: stay in public beta until a release brings billing by card. Nobody can "
        "vouch for what is not there.",
    ),
    Rule(
        "ga_load", "GA 4: a load run with its report", Stage.GA, evidence.nothing_seen,
        "Run `make load` and vouch for its report: p95, errors, isolation.",
        timedelta(days=90),
    ),
    Rule(
        "ga_reset", "GA 6: passwords are reset by mail", Stage.GA, evidence.password_reset,
        "Reset a password of your own through the page, or vouch for who did.",
        timedelta(days=90),
    ),
    Rule(
        "ga_sso", "GA 8: sign-on writes roles in its own organisation only", Stage.GA,
        evidence.single_sign_on,
        "Sign in by a provider with a group mapping, or vouch for who did.",
        timedelta(days=90),
    ),
    Rule(
        "audit_intact", "The audit trail is sealed and intact", Stage.GA, evidence.audit_intact,
        "Run `manage.py audit seal`, then `manage.py audit verify`; they say what is wrong.",
    ),
    Rule(
        "security_audit", "An audit of the security without open findings", Stage.GA,
        evidence.nothing_seen,
        "Have somebody look for holes who did not build it; vouch with name, date and result.",
        timedelta(days=180),
    ),
)  # fmt: skip
BY_NAME: Final = {rule.name: rule for rule in RULES}


def evaluate(stage: Stage, look: Look | None = None) -> list[Condition]:
    """All conditions of a stage, as they stand now. May ask Prometheus, for a few seconds at most.

    With one `look` for several stages each thing is looked at once.
    """
    look = look or Look()
    living = _attestations()
    return [
        _judge(rule, look, living.get(rule.name))
        for rule in RULES
        if ORDER.index(rule.stage) <= ORDER.index(stage)
    ]


def _judge(rule: Rule, look: Look, attestation: Attestation | None) -> Condition:
    found = look.at(rule.look)
    met, says, shown = found.seen is True, found.says, found.evidence
    if found.seen is not None or rule.good_for is None:
        attestation = None  # what is seen counts, not what somebody says
    if attestation is not None:
        met = True
        who = attestation.by or "A command"
        says = f"{who} vouches for it: {attestation.reason}"
        shown = Evidence("attestation", str(attestation.pk), attestation.at)
    return Condition(
        name=rule.name,
        title=rule.title,
        stage=rule.stage,
        met=met,
        says=says,
        how_to=rule.how_to,
        evidence=shown,
        attestable=rule.good_for is not None and found.seen is None,
        attestation=attestation,
    )


def _attestations() -> dict[str, Attestation]:
    """The newest living one of each condition."""
    living = Attestation.objects.filter(withdrawn_at=None, expires_at__gt=timezone.now())
    return {each.condition: each for each in living.select_related("by").order_by("at", "pk")}
