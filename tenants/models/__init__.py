"""Everything of `public` that is about organisations and people; one module per subject."""

from tenants.models.links import Link, LinkPurpose
from tenants.models.organisations import (
    LABEL,
    SCHEMA_NAME,
    Domain,
    MemberInvitation,
    MemberRole,
    Membership,
    Organisation,
    Runtime,
    State,
    SuspendedBy,
)
from tenants.models.people import Session, User, UserManager
from tenants.models.rollout import Invitation, ReadinessRecord, Rollout, Stage
from tenants.models.sso import SsoAttempt, SsoIdentity, SsoProvider
from tenants.models.work import LimitWindow, OutboxMail, SchemaTemplate, StepRecord, StepStatus

__all__ = [
    "LABEL",
    "SCHEMA_NAME",
    "Domain",
    "Invitation",
    "LimitWindow",
    "Link",
    "LinkPurpose",
    "MemberInvitation",
    "MemberRole",
    "Membership",
    "Organisation",
    "OutboxMail",
    "ReadinessRecord",
    "Rollout",
    "Runtime",
    "SchemaTemplate",
    "Session",
    "SsoAttempt",
    "SsoIdentity",
    "SsoProvider",
    "Stage",
    "State",
    "StepRecord",
    "StepStatus",
    "SuspendedBy",
    "User",
    "UserManager",
]
