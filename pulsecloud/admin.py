"""Registers the staff pages; Django's admin looks for this module in every application."""

from pulsecloud.staff import (
    backups,
    entitlement,
    invitations,
    jobs,
    organisations,
    outbox,
    people,
    proofs,
    relay,
    removals,
    rollout,
    seals,
    sso,
    trail,
)

__all__ = [
    "backups",
    "entitlement",
    "invitations",
    "jobs",
    "organisations",
    "outbox",
    "people",
    "proofs",
    "relay",
    "removals",
    "rollout",
    "seals",
    "sso",
    "trail",
]
