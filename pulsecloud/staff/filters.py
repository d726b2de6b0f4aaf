"""Filters named after the questions that operators ask."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.models import Subscription
from billing.subscription import PAID
from relay.status import STALE_AFTER
from tenants.models import Runtime, State
from tenants.states import ENDED


class Question(admin.SimpleListFilter):
    """A filter from a table: {value: (words, condition)}; conditions are made when asked."""

    template = "staff/filter.html"

    def answers(self) -> dict[str, tuple[str, Q]]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, words) for value, (words, _) in self.answers().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        answer = self.answers().get(self.value() or "")
        return queryset.filter(answer[1]) if answer else queryset


def connected() -> Q:
    """Organisations whose built-in runtime said lately that it is connected."""
    return Q(
        runtime=Runtime.BUILTIN,
        relay_status__connected=True,
        relay_status__seen_at__gt=timezone.now() - STALE_AFTER,
    )


class CanPhonesReachIt(Question):
    title = "can phones reach it?"
    parameter_name = "reachable"

    def answers(self) -> dict[str, tuple[str, Q]]:
        active = Q(state=State.ACTIVE)
        return {
            "yes": ("yes, connected", active & connected()),
            "no": ("no, although active", active & Q(runtime=Runtime.BUILTIN) & ~connected()),
            "unregistered": ("no registration at all", active & Q(registration=None)),
            "external": ("by a runtime of its own", active & Q(runtime=Runtime.EXTERNAL)),
        }


class IsItStuck(Question):
    title = "is it stuck?"
    parameter_name = "stuck"

    def answers(self) -> dict[str, tuple[str, Q]]:
        now = timezone.now()
        slow = Q(state=State.PROVISIONING, changed_at__lt=now - timedelta(minutes=2))
        failed = Q(state=State.FAILED)
        return {
            "any": ("yes, somehow", slow | failed | Q(state=State.PURGING)),
            "failed": ("provisioning failed", failed),
            "slow": ("provisioning for 2 minutes or more", slow),
            "unproved": ("mailbox not proved for a day",
                         Q(state=State.REQUESTED, created_at__lt=now - timedelta(days=1))),
            "purging": ("purging", Q(state=State.PURGING)),
        }  # fmt: skip


def _live(prefix: str) -> Q:
    return Q(**{f"{prefix}subscription_state__in": PAID}) | Q(
        **{
            f"{prefix}subscription_state": Subscription.TRIAL,
            f"{prefix}trial_ends_at__gt": timezone.now(),
        }
    )


class IsItPaidFor(Question):
    title = "is it paid for?"
    parameter_name = "paid"
    prefix = "billing__"

    def answers(self) -> dict[str, tuple[str, Q]]:
        state, end = f"{self.prefix}subscription_state", f"{self.prefix}trial_ends_at"
        trial, now = Q(**{state: Subscription.TRIAL}), timezone.now()
        soon = now + timedelta(days=3)
        return {
            "active": ("yes", Q(**{state: Subscription.ACTIVE})),
            "grace": ("in grace: payment is late", Q(**{state: Subscription.GRACE})),
            "trial": ("on trial", trial & Q(**{f"{end}__gt": now})),
            "ending": ("trial ends within 3 days", trial & Q(**{f"{end}__range": (now, soon)})),
            "no": ("no, the door is shut", ~_live(self.prefix) & Q(**{f"{state}__isnull": False})),
        }


class BillingIsPaidFor(IsItPaidFor):
    """The same question on the billing states' own list."""

    prefix = ""


class WhichOnes(Question):
    """Customers of today unless asked otherwise: proofs leave a tombstone each behind.

    Who searches, or asks for a state, sees former ones too.
    """

    title = "which ones?"
    parameter_name = "which"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {
            "former": ("former and expired", Q(canary=False, state__in=ENDED)),
            "canaries": ("canaries, made by proofs", Q(canary=True)),
            "customers": ("customers, former ones too", Q(canary=False)),
            "all": ("all", Q()),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value():
            return super().queryset(request, queryset)
        queryset = queryset.filter(canary=False)
        if request.GET.get("q") or request.GET.get("state__exact"):
            return queryset
        return queryset.exclude(state__in=ENDED)

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *rest = super().choices(changelist)
        yield {**first, "display": "customers of today"}
        yield from rest


class InState(Question):
    """The organisation states, as one more question."""

    title = "in which state?"
    parameter_name = "state__exact"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {value: (label, Q(state=value)) for value, label in State.choices}


class When(Question):
    """Rows of the last hours or days; `field` is the list's time."""

    title = "when?"
    parameter_name = "when"
    field = "at"

    def answers(self) -> dict[str, tuple[str, Q]]:
        now = timezone.now()
        spans = {"hour": ("the last hour", timedelta(hours=1)),
                 "day": ("the last 24 hours", timedelta(days=1)),
                 "week": ("the last 7 days", timedelta(days=7))}  # fmt: skip
        return {
            value: (words, Q(**{f"{self.field}__gt": now - span}))
            for value, (words, span) in spans.items()
        }


def when(field: str) -> type[When]:
    return type("When", (When,), {"field": field})
