"""Settings of the full product. Every value from outside is read through `pulsecloud.env`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from pulsecloud import database, keyfiles, relay_settings
from pulsecloud.env import SettingError
from pulsecloud.relay_settings import *  # noqa: F403  # every RELAY_ setting and what both share
from pulsecloud.relay_settings import ENV, RELAY_ADDR, RELAY_ENTITLEMENT_PUBLIC_KEY
from pulsecloud.staff.theme import UNFOLD as UNFOLD

BASE_DIR = Path(__file__).resolve().parent.parent

VERSION = (
    re.search(r"^## (\S+)", (BASE_DIR / "CHANGELOG.md").read_text(encoding="utf-8"), re.M) or [""]
)[1]

# --- where it runs, and whether that is production ----------------------------------------------

PULSECLOUD_ENV = ENV.choice(
    "PULSECLOUD_ENV", "development", ("development", "production"),
    help="Production takes keys from the environment only and shows no development pages.",
)  # fmt: skip
DATA_DIR = ENV.path("PULSECLOUD_DATA_DIR", "./var", help="Where all local state lives.")
BASE_DOMAIN = ENV.text(
    "PULSE_BASE_DOMAIN", "localhost", help="Organisations live at <label>.<this domain>."
).lower()
WEB_ADDR = ENV.address("PULSECLOUD_WEB_ADDR", "127.0.0.1:8000", help="Where `web` listens.")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
PRODUCTION = (
    PULSECLOUD_ENV == "production"
    or BASE_DOMAIN != "localhost"
    or WEB_ADDR[0] not in _LOOPBACK
)  # fmt: skip
DEBUG = False
PUBLIC_URL = ENV.text(
    "PULSE_PUBLIC_URL",
    "" if PRODUCTION else f"http://{BASE_DOMAIN}:{WEB_ADDR[1]}",
    shown="http://localhost:<web port> in development, none in production",
    help="The base address people use, such as https://cloud.example.com. Never guessed from a request.",
).rstrip("/")
# A wildcard is dialled on loopback.
_relay_host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(RELAY_ADDR[0], RELAY_ADDR[0])  # noqa: S104
_relay_host = f"[{_relay_host}]" if ":" in _relay_host else _relay_host
if not relay_settings.RELAY_PUBLIC_URL and not PRODUCTION:
    RELAY_PUBLIC_URL = f"ws://{_relay_host}:{RELAY_ADDR[1]}"
RELAY_SERVER = ENV.text(
    "PULSE_RELAY_SERVER",
    f"ws://{_relay_host}:{RELAY_ADDR[1]}/ws/instance",
    shown="the relay's own address, /ws/instance",
    help="The relay address that the built-in runtime dials.",
)
HOSTED_MODE = ENV.exactly_true(
    "PULSE_HOSTED_MODE",
    help="Opens the hosted routes. Off, they answer 404 and nothing is provisioned or reaped.",
)
WEB_WORKERS = ENV.integer(
    "PULSECLOUD_WEB_WORKERS", 2, least=1, most=64, help="Processes that serve HTTP."
)
WEB_THREADS = ENV.integer(
    "PULSECLOUD_WEB_THREADS", 8, least=1, most=64, help="Requests at a time in each of them."
)
WORKER_CONCURRENCY = ENV.integer(
    "PULSECLOUD_WORKER_CONCURRENCY", 4, least=1, most=64, help="Jobs that a worker runs at a time."
)

# --- secrets -------------------------------------------------------------------------------------

_secret_key = ENV.secret(
    "SECRET_KEY", help="Signs sessions; 50 characters or more.", shown="made in the data directory"
)
_encryption_key = ENV.secret(
    "PULSECLOUD_ENCRYPTION_KEY",
    help="Base64 of 32 bytes; seals secrets at rest. Losing it loses every identity key.",
    shown="made in the data directory",
)
SECRET_KEY = _secret_key or keyfiles.ensure(DATA_DIR, "secret_key", production=PRODUCTION)
ENCRYPTION_KEY = _encryption_key or keyfiles.ensure(
    DATA_DIR, "encryption_key", production=PRODUCTION
)

# --- relay (the rest of its settings stands in pulsecloud/relay_settings.py) ---------------------

if not relay_settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE and not (
    RELAY_ENTITLEMENT_PUBLIC_KEY or PRODUCTION
):
    RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(DATA_DIR / "keys" / "entitlement.pub")

# The built-in runtime: the instance side of hosted organisations (relay-protocol sections 6, 10-12).
RUNTIME_BACKOFF = ENV.seconds(
    "PULSE_RUNTIME_BACKOFF", "5s", help="First wait before the runtime dials the relay again."
)
RUNTIME_BACKOFF_MAX = ENV.seconds(
    "PULSE_RUNTIME_BACKOFF_MAX", "5m", help="Longest wait before the runtime dials again."
)
RUNTIME_ANSWER_TIMEOUT = ENV.seconds(
    "PULSE_RUNTIME_ANSWER_TIMEOUT",
    "15s",
    help="Wait for the upgrade, and then for the relay's answer.",
)
RUNTIME_PING_INTERVAL = ENV.seconds(
    "PULSE_RUNTIME_PING_INTERVAL", "25s", help="WebSocket ping from the runtime to the relay."
)
RUNTIME_READ_TIMEOUT = ENV.seconds(
    "PULSE_RUNTIME_READ_TIMEOUT", "60s", help="A relay silent for this long is given up."
)
RUNTIME_HEARTBEAT = ENV.seconds(
    "PULSE_RUNTIME_HEARTBEAT", "15s", help="How often the runtime says that it is alive."
)
RUNTIME_CALL_LIFE = ENV.seconds(
    "PULSE_RUNTIME_CALL_LIFE", "15m", help="Longest life of one phone's request or event stream."
)
RUNTIME_CALLS = ENV.integer(
    "PULSE_RUNTIME_CALLS", 12, least=1, help="Phones' requests handed to web at a time, in total."
)
RUNTIME_STREAMS = ENV.integer(
    "PULSE_RUNTIME_STREAMS", 256, least=1, help="Phones' event streams open at a time, in total."
)

# --- database and mail ---------------------------------------------------------------------------

DATABASE_URL = ENV.secret(
    "DATABASE_URL",
    help="postgresql://user:password@host/name of a server of your own.",
    shown="an embedded PostgreSQL in the data directory",
)
EMBEDDED_POSTGRES = DATABASE_URL is None
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **(database.from_url(DATABASE_URL) if DATABASE_URL else database.embedded(DATA_DIR)),
        "ENGINE": "django_tenants.postgresql_backend",
        "CONN_MAX_AGE": 300,
        "CONN_HEALTH_CHECKS": True,
    }
}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
EMAIL_URL = ENV.secret(
    "EMAIL_URL",
    help="smtp://user:password@host:587 (STARTTLS) or smtps://…:465.",
    shown="the staff outbox page (development)",
)
DEFAULT_FROM_EMAIL = ENV.text(
    "PULSECLOUD_MAIL_FROM", f"PulseCloud <no-reply@{BASE_DOMAIN}>",
    shown="PulseCloud <no-reply@<base domain>>", help="Sender of all mail.",
)  # fmt: skip
if EMAIL_URL:
    globals().update(database.email_settings(EMAIL_URL))
else:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

# Whatever is cached is cached for the schema that the connection is in (F15).
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "tenants.schemas.cache_key",
    }
}

# --- applications --------------------------------------------------------------------------------

SHARED_APPS = [
    "pulsecloud",
    "unfold.apps.BasicAppConfig",  # before django_tenants, or its pages render bare
    "django_tenants",
    "tenants",
    "audit",
    "billing",
    "relay",
    "relay.server",
    "pulsecloud.apps.StaffAdminConfig",  # django.contrib.admin with our own site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
]
TENANT_APPS = ["rbac"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "tenants.Organisation"
TENANT_DOMAIN_MODEL = "tenants.Domain"
# The schema is told to PostgreSQL when it changed or a rollback undid it, not before every query.
TENANT_LIMIT_SET_CALLS = True
AUTH_USER_MODEL = "tenants.User"

MIDDLEWARE = [
    "pulsecloud.health.HealthMiddleware",  # before hosts: health answers on any host
    "pulsecloud.request_metrics.RequestMetricsMiddleware",
    "pulsecloud.logs.RequestLogMiddleware",
    "pulsecloud.origins.OriginMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "pulsecloud.headers.SecurityHeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tenants.request_limits.AddressLimitMiddleware",
    "tenants.hosts.HostMiddleware",  # plain 404 for foreign hosts, request.organisation for labels
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tenants.hosts.SessionHostMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "pulsecloud.urls"
TENANT_URLCONF = "pulsecloud.urls_organisation"
WSGI_APPLICATION = "pulsecloud.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "pulsecloud.pages.frame",
            ]
        },
    }
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
     "OPTIONS": {"user_attributes": ("email", "name")}},
]  # fmt: skip

# --- the three lists that tell how the rooms work together (design section 2) --------------------

PROVISIONING_STEPS = [
    "tenants.provisioning_steps.SchemaStep",
    "rbac.provisioning.RolesStep",
    "billing.provisioning.TrialStep",
    "billing.provisioning.LeaseStep",
    "relay.registration.RegistrationStep",
    "tenants.provisioning_steps.ActivateStep",
]
# A deletion runs them in this order, so that nobody gets in while the rest is going (H21): first the
# runtime and the relay let go, then devices and tokens end, then what was paid and signed, then what
# is remembered, then people's ties, and the tables themselves last.
LIFECYCLE_EFFECTS = [
    "relay.effects.RelayEffect",
    "rbac.effects.TokensEffect",
    "billing.effects.EntitlementEffect",
    "rbac.effects.CachesEffect",
    "tenants.deletion.effects.PeopleEffect",
    "tenants.effects.SchemaEffect",
]
# One row each that the checks look at; it comes with the organisation's own, in one query.
READ_WITH_ORGANISATION = ["billing"]
REQUEST_CHECKS = [
    "tenants.door.hosted_gate",
    "tenants.request_limits.still_refused",  # by the limits below, a moment ago
    "rbac.authentication.authenticate",
    "tenants.door.membership",
    "tenants.request_limits.limited",  # before the state: refusing a flood must be cheap
    "tenants.door.organisation_state",
    "billing.entitlement.entitled",
    "rbac.authorizer.permitted",
]

# --- accounts ------------------------------------------------------------------------------------

ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # the mailbox is proved by tenants.signup
ACCOUNT_ADAPTER = "tenants.accounts.adapter.AccountAdapter"
ACCOUNT_RATE_LIMITS = (
    False  # allauth counts per process; tenants.accounts.lockout counts for all of them
)
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300  # as tenants.accounts.recent, which decides
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True  # for SESSION_COOKIE_AGE; a tick box would only ask for less
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
PASSWORD_RESET_TIMEOUT = 3600
ACCOUNT_FORMS = {
    "login": "tenants.accounts.forms.SignInForm",
    "change_password": "tenants.accounts.forms.ChangeForm",
    "reset_password": "tenants.accounts.forms.ResetForm",
    "reset_password_from_key": "tenants.accounts.forms.NewPasswordForm",
}
MFA_ADAPTER = "tenants.accounts.two_factor.TwoFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "PulseCloud"
MFA_TOTP_TOLERANCE = 1  # a step before and after: clocks differ (RFC 6238 section 5.2)
# allauth would ask for an address proved in its own table. Ours come from proved mailboxes or
# from the operator's command line alone (tenants.signup, createsuperuser).
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "authenticate": "tenants.accounts.two_factor.CodeForm",
    "reauthenticate": "tenants.accounts.two_factor.ConfirmForm",
    "activate_totp": "tenants.accounts.two_factor.ActivateForm",
}
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_AGE = 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "pulsecloud_session"
SESSION_ENGINE = "tenants.accounts.sessions"
CSRF_FAILURE_VIEW = "pulsecloud.failures.forged"

# --- web -----------------------------------------------------------------------------------------

ALLOWED_HOSTS = ["*"]  # tenants.hosts answers a plain 404 for every host that is not ours
SECURE_HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_HTTPS else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SECURE_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HTTPS
SECURE_HSTS_PRELOAD = SECURE_HTTPS
SECURE_SSL_REDIRECT = False  # the proxy in front redirects; the built-in runtime speaks plain HTTP
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
LANGUAGE_CODE = "en-gb"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.http.undeclared.Undeclared"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "tenants.http.problems.handle",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "tenants.http.openapi.OrganisationSchema",
}
SPECTACULAR_SETTINGS = {
    "SCHEMA_PATH_PREFIX": "/api",
    "POSTPROCESSING_HOOKS": [],  # choices stay where they are used
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SORT_OPERATION_PARAMETERS": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # the documents are compared with the code by CI
}

# --- request limits (hosted-contract section 8; tenants/request_limits.py) ------------------------

REQUESTS_PER_ORGANISATION = ENV.integer(
    "PULSECLOUD_REQUESTS_PER_ORGANISATION", 2000, least=1,
    help="Requests an organisation may make a minute, unless its plan says otherwise.",
)  # fmt: skip
REQUESTS_PER_CREDENTIAL = ENV.integer(
    "PULSECLOUD_REQUESTS_PER_CREDENTIAL", 600, least=1,
    help="Requests one token, or one person, may make a minute in one organisation.",
)  # fmt: skip
REQUESTS_PER_ADDRESS = ENV.integer(
    "PULSECLOUD_REQUESTS_PER_ADDRESS", 500, least=1,
    help="Requests from one address a minute, whoever asks; direct loopback is left out.",
)  # fmt: skip
WRITES_PER_ADDRESS = ENV.integer(
    "PULSECLOUD_WRITES_PER_ADDRESS", 30, least=1,
    help="Of these, requests to the API that may change something.",
)  # fmt: skip

# --- sign-up limits (hosted-contract sections 3 and 8) -------------------------------------------

SIGNUPS_PER_ADDRESS_PER_HOUR = ENV.integer(
    "PULSECLOUD_SIGNUPS_PER_ADDRESS", 5, least=1, help="Sign-ups per address and hour."
)
SIGNUPS_PER_MAIL_PER_HOUR = ENV.integer(
    "PULSECLOUD_SIGNUPS_PER_MAIL",
    3,
    least=1,
    help="Sign-up and sign-in mails per mailbox and hour.",
)
SIGNUP_LINK_LIFE = ENV.seconds(
    "PULSECLOUD_SIGNUP_LINK_LIFE", "24h",
    help="How long a sign-up waits for its mailbox to be proved; then its label is free again.",
)  # fmt: skip
MEMBER_INVITATION_LIFE = ENV.seconds(
    "PULSECLOUD_MEMBER_INVITATION_LIFE", "7d",
    help="How long somebody can accept an invitation to an organisation.",
)  # fmt: skip
MEMBER_INVITATIONS_PER_HOUR = ENV.integer(
    "PULSECLOUD_MEMBER_INVITATIONS_PER_HOUR", 50, least=1,
    help="Invitations, sent again ones included, that one organisation may send in an hour.",
)  # fmt: skip
PROVISIONING_ATTEMPTS = ENV.integer(
    "PULSECLOUD_PROVISIONING_ATTEMPTS", 5, least=1, most=50,
    help="Attempts at setting up an organisation before all of it is undone.",
)  # fmt: skip
PROVISIONING_PAUSE = ENV.seconds(
    "PULSECLOUD_PROVISIONING_PAUSE", "1s", help="Before the second attempt; doubles each time."
)
TRIAL_DAYS = ENV.integer("PULSECLOUD_TRIAL_DAYS", 14, least=1, help="Length of a trial.")

# --- single sign-on -------------------------------------------------------------------------------

SSO_ALLOWED_NETWORKS = ENV.networks(
    "PULSECLOUD_SSO_ALLOWED_NETWORKS",
    help="Private networks in which organisations' identity providers may live, such as 10.1.0.0/16; "
    "with 127.0.0.0/8 and outside production one on this machine may speak plain http.",
)
SSO_TIMEOUT = ENV.seconds(
    "PULSECLOUD_SSO_TIMEOUT",
    "15s",
    help="Wait for each answer of an identity provider, as a whole.",
)
SSO_ATTEMPT_LIFE = ENV.seconds(
    "PULSECLOUD_SSO_ATTEMPT_LIFE",
    "10m",
    help="How long a person may take at the identity provider.",
)

# --- deletion (tenants/deletion) ------------------------------------------------------------------

REAPER = ENV.choice(
    "PULSECLOUD_REAPER", "on", ("on", "dry-run", "off"),
    help="Whether organisations whose retention is over are deleted; `dry-run` only says which, and "
    "`off` is for the night on which deletions look wrong. Reminders go out in any case.",
)  # fmt: skip
FINAL_BACKUP = ENV.choice(
    "PULSECLOUD_FINAL_BACKUP", "on", ("on", "off"),
    help="Whether a last encrypted copy is made before an organisation is deleted.",
)  # fmt: skip

# --- proof and drills (pulsecloud/proof, pulsecloud/drills) ---------------------------------------

PROVE_EVERY = ENV.seconds(
    "PULSECLOUD_PROVE_EVERY", "6h",
    help="How old the last proof may be before the worker proves again, with a canary; `0s`: never.",
)  # fmt: skip
DRILLS_EVERY = ENV.seconds(
    "PULSECLOUD_DRILLS_EVERY", "24h",
    help="How old the last drills may be before the worker runs them again, on canaries; `0s`: never.",
)  # fmt: skip

# --- backups of single organisations (tenants/backups) --------------------------------------------

_backup_dir = ENV.text(
    "PULSECLOUD_BACKUP_DIR", shown="`backups` in the data directory",
    help="Where encrypted backups of single organisations are written; best on another disk.",
)  # fmt: skip
BACKUP_DIR = Path(_backup_dir).expanduser().absolute() if _backup_dir else DATA_DIR / "backups"
BACKUP_EVERY = ENV.seconds(
    "PULSECLOUD_BACKUP_EVERY", "24h",
    help="How old an organisation's newest backup may be before the worker makes another.",
)  # fmt: skip
BACKUP_RETENTION_DAYS = ENV.integer(
    "PULSECLOUD_BACKUP_RETENTION_DAYS", 30, least=1, most=3650,
    help="Days that a backup is kept. An organisation's newest one is kept however old it is.",
)  # fmt: skip
BACKUP_DAYS_AFTER_DELETION = ENV.integer(
    "PULSECLOUD_BACKUP_DAYS_AFTER_DELETION", 7, least=0, most=365,
    help="Days that the copies of a deleted organisation remain; its receipt names the date.",
)  # fmt: skip

# --- rollout (tenants/rollout) --------------------------------------------------------------------

PROMETHEUS_URL = ENV.text(
    "PULSECLOUD_PROMETHEUS_URL",
    help="Address of the Prometheus that watches this installation; it tells whether an alert fired "
    "before a rollout stage is raised. Without it staff vouch for that.",
).rstrip("/")
if PROMETHEUS_URL and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", PROMETHEUS_URL):
    raise SettingError("PULSECLOUD_PROMETHEUS_URL must be http://host:port or https://host, without a "
                       "password: that belongs into PULSECLOUD_PROMETHEUS_TOKEN.")  # fmt: skip
PROMETHEUS_TOKEN = ENV.secret(
    "PULSECLOUD_PROMETHEUS_TOKEN", help="Bearer token that Prometheus asks for."
)

# --- metrics --------------------------------------------------------------------------------------

METRICS_DIR = DATA_DIR / "metrics"
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(METRICS_DIR))

# Kills the process at a named point; tests use it, production refuses it (system check).
FAULT = ENV.text("PULSECLOUD_FAULT", help="For tests: SIGKILL at this named point. Never set it.")
if FAULT and PRODUCTION:
    raise SettingError("PULSECLOUD_FAULT is for tests and must not be set in production.")

SILENCED_SYSTEM_CHECKS: list[str] = [
    "security.W008",
    "auth.W004",  # the e-mail is unique, ignoring case, by a constraint
]
