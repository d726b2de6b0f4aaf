"""People and organisations: the public half of tenancy (design sections 3, 4 and 6)."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from tenants import mailboxes

SCHEMA_NAME = r"^org_[0-9a-f]{32}$"
LABEL = r"^[a-z0-9]([a-z0-9-]{1,38}[a-z0-9])$"


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str | None, password: str | None = None, **extra: Any) -> User:
        user = self.model(email=self.clean_email(email), **extra)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=mailboxes.key(username))

    @staticmethod
    def clean_email(email: str | None) -> str | None:
        """In lower case, as whoever signs in is looked up by.

        Raises ValidationError for what is not ASCII (`tenants.mailboxes`).
        """
        mailboxes.require_ascii(email or "")
        return mailboxes.key(email) or None


class User(AbstractBaseUser, PermissionsMixin):
    """A person. The e-mail is the sign-in name; null for people who only come by SSO."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail", max_length=254, null=True, blank=True)
    name = models.CharField(max_length=120, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    email_verified_at = models.DateTimeField(null=True, blank=True)
    date_joined = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"), condition=Q(email__isnull=False), name="user_email_unique_nocase"
            )
        ]

    def __str__(self) -> str:
        return self.email or self.name or str(self.pk)


class State(models.TextChoices):
    """Organisation states, design section 3."""

    REQUESTED = "requested"
    EXPIRED = "expired"
    PROVISIONING = "provisioning"
    FAILED = "failed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    PENDING_DELETION = "pending_deletion", "pending deletion"
    PURGING = "purging"
    DELETED = "deleted"


class Runtime(models.TextChoices):
    BUILTIN = "builtin", "built in"
    EXTERNAL = "external"


class SuspendedBy(models.TextChoices):
    OWNER = "owner"
    PLATFORM = "platform"
    BILLING = "billing"


class Organisation(models.Model):
    """A customer. Its own data lives in the schema `schema_name`; this row outlives it as a tombstone.

    Not a django-tenants TenantMixin: saving or deleting a row must never make or drop a schema
    (F05, F24), and there is no `with organisation:` (F02). Only `tenants.schemas` switches.
    """

    auto_drop_schema = False  # a signal of django-tenants asks its tenant model for this

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    display_name = models.CharField(max_length=64)
    label = models.CharField(max_length=40, validators=[RegexValidator(LABEL)])
    schema_name = models.CharField(max_length=36, unique=True, editable=False)
    instance_host = models.CharField(
        max_length=253, editable=False, help_text="Signed into leases; never changes."
    )
    state = models.CharField(max_length=20, choices=State, default=State.REQUESTED, db_index=True)
    state_before_deletion = models.CharField(max_length=20, blank=True)
    owner_email = models.EmailField(max_length=254)
    runtime = models.CharField(max_length=10, choices=Runtime, default=Runtime.BUILTIN)
    canary = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(auto_now=True)
    mailbox_proved_at = models.DateTimeField(null=True, blank=True)
    provisioned_at = models.DateTimeField(null=True, blank=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    suspended_by = models.CharField(max_length=10, choices=SuspendedBy, blank=True)
    suspend_reason = models.TextField(blank=True)
    deletion_requested_at = models.DateTimeField(null=True, blank=True)
    retention_days = models.PositiveIntegerField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    failure = models.TextField(blank=True, help_text="Why the last provisioning attempt failed.")
    attempts = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Provisioning runs since the mailbox was proved."
    )
    # Moves with every change of a role, an assignment or a membership; what `rbac` has cached of
    # this organisation is good only for the version that it was read at (F75).
    rbac_version = models.PositiveBigIntegerField(default=0, editable=False)
    sso_required = models.BooleanField(
        default=False, help_text="Members come by single sign-on only; the owner always may."
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, editable=False, help_text="Of its plan; empty means the default."
    )
    # The seat that let the request through; given back when the mailbox is never proved.
    invitation = models.ForeignKey(
        "Invitation",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="organisations",
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(schema_name__regex=SCHEMA_NAME), name="organisation_schema_name"
            ),
            models.CheckConstraint(condition=Q(label__regex=LABEL), name="organisation_label"),
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in State]), name="organisation_state"
            ),
            models.CheckConstraint(
                condition=Q(canary=False) | Q(label__startswith="canary-"),
                name="organisation_canary_label",
            ),
            # A label is free again only when nobody ever proved the mailbox behind the request.
            models.UniqueConstraint(
                fields=["label"], condition=~Q(state="expired"), name="organisation_label_unique"
            ),
            models.UniqueConstraint(
                fields=["instance_host"],
                condition=~Q(state="expired"),
                name="organisation_host_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.display_name} ({self.label})"

    def save(self, **options: Any) -> None:
        """Never writes `rbac_version` of a row that is there: a stale copy would put it back, and
        rights that were taken away would count again wherever they are remembered (F75)."""
        if not self._state.adding and options.get("update_fields") is None:
            options["update_fields"] = [
                field.name
                for field in self._meta.concrete_fields
                if not field.primary_key and field.name != "rbac_version"
            ]
        super().save(**options)


class Domain(models.Model):
    """A host name that leads to an organisation. The first is its instance host."""

    domain = models.CharField(max_length=253, unique=True)
    tenant = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="domains")
    is_primary = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.domain


class MemberRole(models.TextChoices):
    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"


class Membership(models.Model):
    """A person's place in an organisation. Exactly one owner each."""

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=MemberRole, default=MemberRole.VIEWER)
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "user"], name="membership_unique"),
            models.UniqueConstraint(
                fields=["organisation"], condition=Q(role="owner"), name="membership_one_owner"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.organisation}"


class MemberInvitation(models.Model):
    """Asks a person into an organisation. Sent to `email`; only its token's SHA-256 is kept.

    Whoever accepts must be signed in with that very mailbox, proved (F70).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="member_invitations"
    )
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=MemberRole, default=MemberRole.VIEWER)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(default=timezone.now)
    sends = models.PositiveSmallIntegerField(default=1)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    declined_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(Lower("email"), name="member_invitation_mailbox")]
        constraints = [
            # One open invitation per mailbox; inviting again renews it.
            models.UniqueConstraint(
                "organisation",
                Lower("email"),
                condition=Q(accepted_at=None, declined_at=None, revoked_at=None),
                name="member_invitation_once",
            ),
            models.CheckConstraint(condition=~Q(role="owner"), name="member_invitation_not_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"


class Invitation(models.Model):
    """A seat in the beta: lets a sign-up through while the stage is invite-only.

    Bound to an address when `email` is set. When `mailed_at` is set the token went to that
    mailbox and nowhere else, so redeeming it by POST proves the mailbox. Only the SHA-256 of the
    token is stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    email = models.EmailField(max_length=254, blank=True)
    canary = models.BooleanField(default=False, editable=False)
    note = models.CharField(max_length=200, blank=True)
    seats = models.PositiveIntegerField(default=1)
    used = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL)
    mailed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(used__lte=models.F("seats")), name="invitation_seats"
            )
        ]

    def __str__(self) -> str:
        return self.email or f"{self.seats} seats"


class LinkPurpose(models.TextChoices):
    VERIFY_MAILBOX = "verify_mailbox", "prove a mailbox"
    SIGN_IN = "sign_in", "sign in"
    MAGIC_LINK = "magic_link", "sign in by mail"
    HAND_OFF = "hand_off", "hand over to an organisation's host"


class Link(models.Model):
    """A single-use, expiring link or hand-off. Only the SHA-256 of its token is stored."""

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    purpose = models.CharField(max_length=20, choices=LinkPurpose)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)
    organisation = models.ForeignKey(
        Organisation, null=True, blank=True, on_delete=models.CASCADE, related_name="links"
    )
    target = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.get_purpose_display()} until {self.expires_at:%Y-%m-%d %H:%M}"


class Session(AbstractBaseSession):
    """A signed-in browser, valid on one host only; found by person and host to be ended at once."""

    user = models.UUIDField(null=True, db_index=True)
    host = models.CharField(max_length=253, blank=True, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = "session"

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        from tenants.sessions import SessionStore

        return SessionStore


class SsoProvider(models.Model):
    """An organisation's own OpenID Connect provider (hosted-contract section 11.1).

    Which group gives which role stands in the organisation's schema (`rbac.GroupMapping`).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="sso_providers"
    )
    slug = models.CharField(max_length=64)
    name = models.CharField(max_length=128)
    enabled = models.BooleanField(default=False)
    issuer = models.URLField(max_length=2048)
    client_id = models.CharField(max_length=255)
    client_secret_sealed = models.BinaryField(null=True, editable=False)
    scopes = models.CharField(max_length=255, default="openid profile email")
    groups_claim = models.CharField(max_length=128, default="groups", blank=True)
    email_claim = models.CharField(max_length=128, default="email")
    name_claim = models.CharField(max_length=128, default="name")
    allowed_groups = models.JSONField(default=list, blank=True)
    allowed_domains = models.JSONField(default=list, blank=True)
    allowed_emails = models.JSONField(default=list, blank=True)
    default_role = models.CharField(
        max_length=10,
        choices=MemberRole,
        default=MemberRole.VIEWER,
        help_text="Membership of who comes for the first time.",
    )
    session_hours = models.PositiveSmallIntegerField(default=8)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["organisation", "slug"], name="sso_provider_slug"),
            models.CheckConstraint(condition=~Q(default_role="owner"), name="sso_never_owner"),
        ]

    def __str__(self) -> str:
        return self.name


class SsoIdentity(models.Model):
    """Who an identity provider says somebody is: organisation, issuer and subject, never an e-mail.

    `email`, `name` and `groups` are what it claimed last, for display only (F74).
    """

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="sso_identities"
    )
    provider = models.ForeignKey(
        SsoProvider, null=True, on_delete=models.SET_NULL, related_name="identities"
    )
    issuer = models.CharField(max_length=2048)
    subject = models.CharField(max_length=255)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sso_identities")
    email = models.CharField(max_length=254, blank=True)
    name = models.CharField(max_length=200, blank=True)
    groups = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    last_login_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "single sign-on identity"
        verbose_name_plural = "single sign-on identities"
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "issuer", "subject"], name="sso_identity_once"
            )
        ]

    def __str__(self) -> str:
        return self.email or self.name or self.subject


class SsoAttempt(models.Model):
    """A sign-in on its way to the provider and back: single use, 10 minutes, one browser."""

    state_hash = models.CharField(max_length=64, unique=True, editable=False)
    browser_hash = models.CharField(max_length=64, editable=False)
    provider = models.ForeignKey(SsoProvider, on_delete=models.CASCADE)
    sealed = models.BinaryField(editable=False, help_text="Nonce and PKCE verifier.")
    test_by = models.UUIDField(null=True, help_text="Who tests the mapping; signs nobody in.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class OutboxMail(models.Model):
    """Mail that was handed to SMTP. In development the body is kept for the staff outbox page."""

    recipient = models.EmailField(max_length=254)
    subject = models.CharField(max_length=200)
    body = models.TextField(blank=True, help_text="Kept in development only.")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "mail"
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return f"{self.subject} to {self.recipient}"


class StepStatus(models.TextChoices):
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"


class StepRecord(models.Model):
    """That one provisioning step ran for an organisation; written in the step's own transaction."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="steps")
    step = models.CharField(max_length=40)
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=10, choices=StepStatus)
    attempt = models.PositiveSmallIntegerField(default=1)
    seconds = models.FloatField(default=0)
    error = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["organisation", "step"], name="step_once")]

    def __str__(self) -> str:
        return f"{self.step}: {self.status}"


class LimitWindow(models.Model):
    """One counter of one rate limit, shared by all processes. The key is a hash."""

    key = models.CharField(max_length=64)
    window = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "window"], name="limit_window")]


class SchemaTemplate(models.Model):
    """SQL that makes one tenant schema, dumped from a migrated one; keyed by what migrations exist."""

    migrations_hash = models.CharField(max_length=64, primary_key=True)
    sql = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)


class Stage(models.TextChoices):
    DEV = "dev"
    PRIVATE_BETA = "private_beta", "private beta"
    PUBLIC_BETA = "public_beta", "public beta"
    GA = "ga", "general availability"


class Rollout(models.Model):
    """The one stored rollout stage. Sign-up needs an invitation before public beta."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    stage = models.CharField(max_length=20, choices=Stage, default=Stage.PRIVATE_BETA)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="rollout_single_row")]

    def __str__(self) -> str:
        return self.get_stage_display()


class ReadinessRecord(models.Model):
    """What one run of `manage.py prove` showed: passed, or blocked with the facts that block."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=20, default="prove")
    passed = models.BooleanField()
    started_at = models.DateTimeField()
    seconds = models.FloatField()
    steps = models.JSONField(default=list)
    blocking = models.JSONField(default=list)
    version = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'blocked'} at {self.started_at:%Y-%m-%d %H:%M}"
