"""Provisioning steps that misbehave on demand, to be put between the real ones."""

from __future__ import annotations

from typing import ClassVar

from tenants.models import Domain, Organisation

REAL = [
    "tenants.provisioning_steps.SchemaStep",
    "rbac.provisioning.RolesStep",
    "billing.provisioning.TrialStep",
    "billing.provisioning.LeaseStep",
    "relay.registration.RegistrationStep",
    "tenants.provisioning_steps.ActivateStep",
]
HERE = "tests.provisioning.steps"


class Broken(Exception):
    """What these steps raise."""


class FailingStep:
    """Fails `times` times, after it wrote something that must not stay."""

    name = "failing"
    times: ClassVar[int] = 0
    calls: ClassVar[int] = 0

    def do(self, organisation: Organisation) -> None:
        Domain.objects.create(domain=f"half.{organisation.instance_host}", tenant=organisation)
        type(self).calls += 1
        if self.calls <= self.times:
            raise Broken("no luck\ntoday")
        Domain.objects.filter(domain=f"half.{organisation.instance_host}").delete()

    def undo(self, organisation: Organisation) -> None:
        raise AssertionError("a step that never came to an end is not undone")


class StubbornStep:
    """Works, and cannot be undone at the first try."""

    name = "stubborn"
    undone: ClassVar[int] = 0

    def do(self, organisation: Organisation) -> None:
        pass

    def undo(self, organisation: Organisation) -> None:
        type(self).undone += 1
        if self.undone == 1:
            raise Broken("later")


def with_step(name: str, *, after: int) -> list[str]:
    """The real list with one of these put in after so many of its steps."""
    return [*REAL[:after], f"{HERE}.{name}", *REAL[after:]]
