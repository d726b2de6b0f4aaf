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


@register.simple_tag
def state_badge(organisation: Organisation) -> str:
    return badges.of_state(organisation)


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
