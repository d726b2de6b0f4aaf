"""Badges and ages for the staff templates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template

from pulsecloud.staff import badges, last_proof, words
from tenants.models import Organisation, ReadinessRecord

register = template.Library()


@register.filter
def ago(moment: datetime | None) -> str:
    return words.ago(moment)


@register.filter
def proof_summary(record: ReadinessRecord) -> str:
    return last_proof.summary(record)


@register.filter
def evidence(value: Any) -> str:
    """What a proof's step showed: text as it is, lists and mappings in short."""
    if isinstance(value, Mapping) and {"name", "seconds"} <= set(value):
        return f"{value['name']} {value['seconds'] * 1000:.0f} ms"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {evidence(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(evidence(item) for item in value) or "nothing"
    return str(value)


@register.simple_tag
def state_badge(organisation: Organisation) -> str:
    return badges.of_state(organisation)


@register.filter
def state_since(organisation: Organisation) -> datetime:
    return badges.since(organisation)


@register.simple_tag
def relay_badge(organisation: Organisation) -> str:
    """Nothing at all for an organisation that is not meant to be reached."""
    word, tone, title = badges.relay_words(organisation)
    return badges.badge(word, tone, title) if word else ""


@register.simple_tag
def step_badge(step: Mapping[str, Any]) -> str:
    tones = {"passed": badges.GOOD, "failed": badges.BAD}
    status = str(step.get("status", ""))
    return badges.badge(status, tones.get(status, badges.QUIET))
