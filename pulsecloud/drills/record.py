"""Runs drills and writes down what they showed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pulsecloud.drills.flock import Flock
from pulsecloud.drills.lifecycle import LifecycleDrills
from pulsecloud.drills.rbac import RbacDrills
from pulsecloud.drills.standing import NAMES
from pulsecloud.proof import record as proofs
from pulsecloud.proof.canary import remove_forgotten
from pulsecloud.proof.record import Step
from tenants.models import ReadinessRecord

_LOCK: Final = 0x9C10_0002

_DRILLS: Final[dict[str, type[Flock]]] = {"lifecycle": LifecycleDrills, "rbac": RbacDrills}


def drill(name: str, report: Callable[[Step], None], *, patience: float = 1.0) -> ReadinessRecord:
    """Runs all drills of one name in NAMES, each whether or not an earlier one failed.

    Removes every canary, stores and returns the record. `report` is called with each drill as it
    ends; `patience` scales how long each promise may take. Raises proof.record.AlreadyRunning.
    """
    with proofs.alone(_LOCK):
        forgotten = remove_forgotten("drill")
        flock = _DRILLS[name](patience)
        return proofs.show(
            NAMES[name],
            flock.drills(),
            report=report,
            clean_up=lambda: [*forgotten, *flock.left],
            carry_on=True,
        )
