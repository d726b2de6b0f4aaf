"""Registers the staff pages; Django's admin looks for this module in every application."""

from pulsecloud.staff import (
    entitlement,
    invitations,
    jobs,
    organisations,
    outbox,
    people,
    proofs,
    relay,
    rollout,
    removals,
    seals,
    sso,
    trail,
)

__all__ = [
    "entitlement",
    "invitations",
    "jobs",
    "organisations",
    "outbox",
    "people",
    "proofs",
    "relay",
    "rollout",
    "removals",
    "seals",
    "sso",
    "trail",
]
