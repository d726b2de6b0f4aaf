"""System checks: facts that must stop a start, each with an id and what to do about it.

The facts that once kept hosted organisations unreachable are here: no entitlement key at the
relay, an active organisation without a relay registration, a lease signer without a key, a
secret kept in clear. Those that need the database run with `check --database default` and before
every `manage.py up`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections

from pulsecloud import health

# Columns that must hold the SHA-256 of a secret, and never the secret.
HASHED = (
    ("tenants", "Invitation", "token_hash"),
    ("tenants", "Link", "token_hash"),
    ("billing", "RefreshToken", "token_hash"),
    ("relay_server", "Session", "token_hash"),
)
# Columns that must hold what tenants.sealing made: version byte 1, nonce, ciphertext, tag.
SEALED = (
    ("billing", "SigningKey", "sealed_private_key"),
    ("relay", "Registration", "sealed_identity_key"),
    ("relay", "Registration", "sealed_licence"),
)
SEALED_LEAST = 1 + 12 + 16


@register()
def wiring(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    """Settings that are ours to get right."""
    if list(settings.DATABASES) != ["default"]:
        yield Error(
            "There is more than one database alias.",
            hint="django-tenants keeps the current schema per alias and asks the default one (F09).",
            id="pulsecloud.E001",
        )
    names = list(settings.INSTALLED_APPS)
    if names.index("unfold.apps.BasicAppConfig") > names.index("django_tenants"):
        yield Error(
            "unfold stands after django_tenants in INSTALLED_APPS.",
            hint="Put it before, or the staff pages render bare.",
            id="pulsecloud.E002",
        )


@register()
def encryption_key(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """The key that seals secrets at rest can be used."""
    try:
        length = len(base64.b64decode(settings.ENCRYPTION_KEY, validate=True))
    except (binascii.Error, ValueError):
        length = 0
    if length != 32:
        yield Error(
            "PULSECLOUD_ENCRYPTION_KEY is not base64 of 32 bytes.",
            hint="Make one with: openssl rand -base64 32",
            id="pulsecloud.E003",
        )


@register()
def production(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    """What production needs and development does without."""
    if not settings.PRODUCTION:
        return
    if settings.BASE_DOMAIN == "localhost":
        yield Error(
            "Production has no base domain.",
            hint="Set PULSE_BASE_DOMAIN, such as cloud.example.com.",
            id="pulsecloud.E010",
        )
    public = urlsplit(settings.PUBLIC_URL)
    if public.scheme != "https" or not public.hostname:
        yield Error(
            "PULSE_PUBLIC_URL is not an https:// address.",
            hint="Set the address people use, such as https://cloud.example.com. Passwords and "
            "sign-in links travel over it.",
            id="pulsecloud.E011",
        )
    elif public.hostname != settings.BASE_DOMAIN:
        yield Error(
            f"PULSE_PUBLIC_URL names {public.hostname}, PULSE_BASE_DOMAIN {settings.BASE_DOMAIN}.",
            hint="They must name the same host; every other host answers 404.",
            id="pulsecloud.E012",
        )
    relay = urlsplit(settings.RELAY_PUBLIC_URL)
    if relay.scheme != "wss" or not relay.hostname:
        yield Error(
            "PULSE_RELAY_PUBLIC_URL is not a wss:// address.",
            hint="Set the address phones dial, such as wss://relay.example.com.",
            id="pulsecloud.E013",
        )
    if not settings.METRICS_TOKEN:
        yield Error(
            "METRICS_TOKEN is not set.",
            hint="Set it, and give it to Prometheus as the bearer token for /metrics.",
            id="pulsecloud.E014",
        )
    if not settings.EMAIL_URL:
        yield Error(
            "EMAIL_URL is not set, so nobody can prove a mailbox.",
            hint="Set it, such as smtp://user:password@mail.example.com:587.",
            id="pulsecloud.E015",
        )
    if not (settings.RELAY_ENTITLEMENT_PUBLIC_KEY or settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE):
        yield Error(
            "The relay has no key to verify leases with.",
            hint="Set PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY, or its _FILE, to what `manage.py keys "
            "export` prints.",
            id="pulsecloud.E016",
        )
    if not settings.TRUSTED_PROXIES:
        yield Warning(
            "TRUSTED_PROXIES is not set.",
            hint="TLS ends in a proxy; without its network here, everybody shares the proxy's "
            "address and its rate limits.",
            id="pulsecloud.W017",
        )


@register()
def trusted_proxies(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Who may say where a request came from (F71): proxies of ours, never everybody."""
    for text in settings.TRUSTED_PROXIES:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield Error(
                f"TRUSTED_PROXIES has {text!r}, which is no address or network.",
                hint="Name networks such as 10.0.0.0/8, or single addresses.",
                id="pulsecloud.E018",
            )
            continue
        if network.prefixlen == 0:
            yield Error(
                f"TRUSTED_PROXIES has {text}: everybody may choose the address they come from.",
                hint="Name the network of your proxy only. Limits, sign-up and the audit trail go "
                "by the address.",
                id="pulsecloud.E019",
            )


@register()
def key_files(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    """Secrets in files are for their owner only."""
    folder = Path(settings.DATA_DIR) / "keys"
    secret = ("secret_key", "encryption_key", "postgres_password")
    for path in (folder / name for name in secret):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Error(
                f"{path} can be read by others than its owner.",
                hint=f"chmod 600 {path}",
                id="pulsecloud.E020",
            )


@register(Tags.database)
def stored_facts(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Facts of the database; silent while the migrations that it needs are not applied."""
    if "default" not in (databases or []):
        return []
    try:
        if health.missing_migrations():
            return []
        return [*_reachable(), *_in_clear()]
    except DatabaseError:
        connections["default"].close()
        return []  # whether the database answers is for /readyz to say


def _reachable() -> Iterable[CheckMessage]:
    """Nothing keeps active organisations from their phones."""
    from billing import keys
    from billing.models import SigningKey
    from tenants.models import Organisation, State

    configured = health.entitlement_key_configured()
    wanted = f"Set PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY={','.join(keys.public_keys())} at the relay."
    if not configured:
        yield Error(
            "The relay has no key to verify leases with.",
            hint=wanted,
            id="pulsecloud.E030",
        )
    active_key = SigningKey.objects.filter(active=True).first()
    if active_key is None:
        yield Error(
            "The lease signer has no key.",
            hint="Run `manage.py keys ensure`.",
            id="pulsecloud.E031",
        )
    elif configured and active_key.public_key not in keys.configured():
        yield Error(
            f"The relay does not know the key that leases are signed with ({active_key.kid}).",
            hint=wanted,
            id="pulsecloud.E032",
        )
    unregistered = Organisation.objects.filter(state=State.ACTIVE, registration=None)
    count = unregistered.count()
    if count:
        some = ", ".join(unregistered.order_by("label").values_list("label", flat=True)[:5])
        yield Error(
            f"{count} active organisations have no relay registration: {some}.",
            hint="No phone can reach them. Restore the rows of relay_registration from a backup: "
            "they hold the identity that paired phones trust. Without one start with "
            "`manage.py up --register-missing`, and have their phones paired again.",
            id="pulsecloud.E033",
        )


def _in_clear() -> Iterable[CheckMessage]:
    """No column that is meant for a hash or a sealed value holds anything else."""
    for app, model_name, column in HASHED:
        model = apps.get_model(app, model_name)
        rows = model._default_manager.exclude(**{f"{column}__regex": r"^[0-9a-f]{64}$"})
        if rows.exists():
            yield _clear(f"{app}.{model_name}.{column}", "a SHA-256 in hex")
    with connections["default"].cursor() as cursor:
        for app, model_name, column in SEALED:
            table = apps.get_model(app, model_name)._meta.db_table
            cursor.execute(
                f"SELECT EXISTS (SELECT 1 FROM public.{table} WHERE length({column}) > 0"  # noqa: S608
                f" AND (length({column}) < %s OR get_byte({column}, 0) <> 1))",
                [SEALED_LEAST],
            )
            row = cursor.fetchone()
            if row and row[0]:
                yield _clear(f"{app}.{model_name}.{column}", "a sealed value")


def _clear(column: str, wanted: str) -> Error:
    return Error(
        f"{column} holds something else than {wanted}: perhaps a secret in clear.",
        hint="Revoke what stands there and make it anew; never keep secrets as they are.",
        id="pulsecloud.E040",
    )
