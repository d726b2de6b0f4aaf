"""The seven life-cycle drills (hosted-contract section 27), as an owner's programs would do them."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from pulsecloud.drills.flock import Flock, act, status, stored, want
from pulsecloud.proof.browser import UnexpectedAnswer
from pulsecloud.proof.canary import Canary
from pulsecloud.proof.record import Show

Evidence = dict[str, Any]

VERBS: Final = ("suspend", "unsuspend", "soft-delete")
RETENTION_DAYS: Final = 7  # neither the default nor a bound
_FIELDS: Final = ("suspendedAt", "suspendReason", "deletionRequestedAt", "retentionDays")


class LifecycleDrills(Flock):
    def drills(self) -> list[tuple[str, str, Show]]:
        return [
            ("suspend_unsuspend", "suspended and lifted, all as before", self.round_trip),
            ("suspend_twice", "suspended once only", self.suspend_twice),
            ("unsuspend_active", "nothing to lift, nothing lifted", self.unsuspend_active),
            ("soft_delete_twice", "deletion asked for once only", self.soft_delete_twice),
            ("suspend_soft_delete", "a deletion keeps the suspension", self.suspend_soft_delete),
            ("missing_organisation", "nobody's organisation is not there", self.missing),
            ("retention", "retention as asked, and no nonsense", self.retention),
        ]

    def round_trip(self) -> Evidence:
        with self.canary() as canary:
            before = _inside(canary)
            told = act(canary, "suspend", {"reason": "drill"})
            want("the status", told.get("status"), "suspended")
            want("suspendReason", told.get("suspendReason"), "drill")
            if not told.get("suspendedAt"):
                raise UnexpectedAnswer("suspendedAt is missing")
            want("the status told to its owner", status(canary), "suspended")
            during = _inside(canary)
            told = act(canary, "unsuspend")
            want("the status", told.get("status"), "active")
            _none_of(told)
            want("the status told to its owner", status(canary), "active")
            after = _inside(canary)
        want("its own API before, during and after", [before, during, after], [200, 403, 200])
        return {"organisation": str(canary.organisation), "own_api": [before, during, after]}

    def suspend_twice(self) -> Evidence:
        with self.canary() as canary:
            act(canary, "suspend", {"reason": "first"})
            act(canary, "suspend", {"reason": "second"}, status=409, code="already_suspended")
            want("the status told to its owner", status(canary), "suspended")
            want("the reason", stored(canary).suspend_reason, "first")
        return {"second": "409 already_suspended", "reason_kept": "first"}

    def unsuspend_active(self) -> Evidence:
        with self.canary() as canary:
            act(canary, "unsuspend", status=409, code="not_suspended")
            want("the status told to its owner", status(canary), "active")
        return {"answer": "409 not_suspended", "status": "active"}

    def soft_delete_twice(self) -> Evidence:
        with self.canary() as canary:
            told = act(canary, "soft-delete")
            want("the status", told.get("status"), "pending_deletion")
            requested, days = told.get("deletionRequestedAt"), told.get("retentionDays")
            if not requested or not days:
                raise UnexpectedAnswer("deletionRequestedAt or retentionDays is missing")
            again = {"retention_days": RETENTION_DAYS}
            act(canary, "soft-delete", again, status=409, code="already_pending_deletion")
            want("the status told to its owner", status(canary), "pending_deletion")
            want("its own API", _inside(canary), 403)
            want("the retention", stored(canary).retention_days, days)
        return {"second": "409 already_pending_deletion", "retention_days_kept": days}

    def suspend_soft_delete(self) -> Evidence:
        with self.canary() as canary:
            suspended = act(canary, "suspend", {"reason": "drill"})
            told = act(canary, "soft-delete")
            want("the status", told.get("status"), "pending_deletion")
            for name in ("suspendedAt", "suspendReason"):
                want(name, told.get(name), suspended.get(name))
            want("the status told to its owner", status(canary), "pending_deletion")
            want("the reason", stored(canary).suspend_reason, "drill")
        return {"kept": {name: suspended[name] for name in ("suspendedAt", "suspendReason")}}

    def missing(self) -> Evidence:
        with self.canary() as canary:
            nobody = uuid4()
            for verb in VERBS:
                act(canary, verb, on=nobody, status=404, code="org_not_found")
            want("the status of the caller's own", status(canary), "active")
        return {"organisation": str(nobody), "answers": dict.fromkeys(VERBS, "404 org_not_found")}

    def retention(self) -> Evidence:
        with self.canary() as canary:
            for days in (0, -1):
                body = {"retention_days": days}
                act(canary, "soft-delete", body, status=400, code="invalid_retention_days")
                want(f"the status told to its owner after {days} days", status(canary), "active")
            told = act(canary, "soft-delete", {"retention_days": RETENTION_DAYS})
            want("retentionDays", told.get("retentionDays"), RETENTION_DAYS)
            want("the retention", stored(canary).retention_days, RETENTION_DAYS)
        refused = dict.fromkeys(("0", "-1"), "400 invalid_retention_days")
        return {"stored_days": RETENTION_DAYS, "refused": refused}


def _inside(canary: Canary) -> int:
    """The status of a request to the organisation's own API by its owner, who stays signed in."""
    return canary.inside("GET", "/api/organisation").status_code


def _none_of(told: dict[str, Any]) -> None:
    left = [name for name in _FIELDS if told.get(name) is not None]
    if left:
        raise UnexpectedAnswer(f"active again, and still has {', '.join(left)}")
