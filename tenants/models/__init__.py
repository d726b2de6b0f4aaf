"""Everything of `public` that is about organisations and people; one module per subject."""

from tenants.models.backups import Backup, BackupKind, BackupState
from tenants.models.deletion import DeletionReceipt, Removal
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
from tenants.models.rollout import (
    Attestation,
    Invitation,
    ReadinessKind,
    ReadinessRecord,
    Rollout,
    Stage,
    StageChange,
)
from tenants.models.sso import SsoAttempt, SsoIdentity, SsoProvider
from tenants.models.work import (
    LimitWindow,
    OutboxMail,
    Sample,
    SchemaTemplate,
    SchemaVersion,
    StepRecord,
    StepStatus,
)

__all__ = [
    "LABEL",
    "SCHEMA_NAME",
    "Attestation",
    "Backup",
    "BackupKind",
    "BackupState",
    "DeletionReceipt",
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
    "ReadinessKind",
    "ReadinessRecord",
    "Removal",
    "Rollout",
    "Runtime",
    "Sample",
    "SchemaTemplate",
    "SchemaVersion",
    "Session",
    "SsoAttempt",
    "SsoIdentity",
    "SsoProvider",
    "Stage",
    "StageChange",
    "State",
    "StepRecord",
    "StepStatus",
    "SuspendedBy",
    "User",
    "UserManager",
]
