"""The verbs of an organisation's single sign-on settings (hosted-contract section 11.1).

The client secret is sealed for the organisation and never read back by people. Whoever changes
settings can hand out no role that they do not have themselves: neither by the membership that
newcomers get nor by a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from django.db import transaction

from audit import trail
from audit.actors import Actor
from rbac import holding
from rbac.builtin import ROLE_OF_MEMBER
from rbac.models import GroupMapping, Role
from rbac.role_tree import Tree
from rbac.sso import discovery, granting, mapping
from rbac.sso import values as rules
from rbac.sso.refusals import SsoRefused
from rbac.sso.values import Values
from tenants import sealing, versions
from tenants.http.problems import Problem
from tenants.models import Organisation, SsoProvider
from tenants.people import membership
from tenants.schemas import in_schema

MOST: Final = 20  # providers of one organisation
HARMLESS: Final = frozenset({"name", "secret", "session_hours"})  # they let nobody else in


def listed(organisation: Organisation) -> list[SsoProvider]:
    return list(SsoProvider.objects.filter(organisation=organisation).order_by("name", "slug"))


def find(organisation: Organisation, slug: str) -> SsoProvider | None:
    return SsoProvider.objects.filter(organisation=organisation, slug=slug).first()


def secret_of(provider: SsoProvider) -> str:
    """The client secret in clear; empty for a public client."""
    if provider.client_secret_sealed is None:
        return ""
    context = str(provider.organisation_id)
    return sealing.open_sealed(provider.client_secret_sealed, context=context).decode()


def create(
    *, organisation: Organisation, slug: str, values: Values, actor: Actor, reason: str = ""
) -> SsoProvider:
    """A new provider, switched off until `enable` has seen it answer.

    Raises Problem 409 `duplicate_id`, `too_many_providers`, `org_not_active`; 403
    `escalation_denied`.
    """
    noted = granting.refusals_noted("sso_provider_created", organisation, actor)
    with noted, transaction.atomic():
        membership.active(organisation)
        granting.refuse_beyond(organisation, actor, {ROLE_OF_MEMBER[values.default_role]})
        existing = SsoProvider.objects.filter(organisation=organisation)
        if existing.filter(slug__iexact=slug).exists():
            raise Problem(409, "duplicate_id", f"There is a provider {slug} already.")
        if existing.count() >= MOST:
            raise Problem(409, "too_many_providers", f"At most {MOST} providers.")
        provider = SsoProvider(organisation=organisation, slug=slug)
        _fill(provider, values)
        provider.save()
        _record("sso_provider_created", provider, actor, reason, after=_told(provider))
    return provider


def update(
    *,
    provider: SsoProvider,
    values: Values,
    actor: Actor,
    reason: str = "",
) -> SsoProvider:
    """Changes a provider; without a new secret the stored one stays, unless the issuer is another:
    then that issuer would be sent a secret that is not its own, so one must be given.

    Whoever decides which people a provider vouches for, and what it says of them, decides who gets
    the roles that it gives: all but its name, secret and hours takes having those roles. A changed
    issuer switches it off until it has been seen to answer again. Raises Problem 400
    `validation_error`, 403 `escalation_denied`, 404 `not_found`, 409 `last_provider_required`.
    """
    noted = granting.refusals_noted("sso_provider_updated", provider.organisation, actor)
    with noted, transaction.atomic():
        provider = _locked(provider)
        organisation = provider.organisation
        before = _told(provider)
        if _decides_who_comes(provider, values):
            roles = _given_by(provider) | {ROLE_OF_MEMBER[values.default_role]}
            granting.refuse_beyond(organisation, actor, roles)
        elsewhere = values.issuer.rstrip("/") != provider.issuer.rstrip("/")
        if elsewhere and provider.client_secret_sealed is not None and values.secret is None:
            raise rules.Invalid("secret", "Give the client secret of the new issuer.")
        issuer = provider.issuer
        _fill(provider, values)
        if elsewhere:
            _refuse_last(provider)
            provider.enabled = False
        else:
            provider.issuer = issuer  # in the spelling that it uses itself
        provider.save()
        if _told(provider) != before or values.secret is not None:
            after = {**_told(provider), "new_secret_given": values.secret is not None}
            _record("sso_provider_updated", provider, actor, reason, before=before, after=after)
    discovery.forget(provider)
    return provider


def enable(*, provider: SsoProvider, actor: Actor, reason: str = "") -> SsoProvider:
    """Switches a provider on, once it has been seen to answer under its own name; the
    organisation's sign-in page shows itself to everybody from then on.

    That lets people in with the roles that it gives, so whoever does it must have them. Raises
    Problem 400 `discovery_failed`, 403 `escalation_denied`, 404 `not_found`.
    """
    metadata = probe(provider)
    noted = granting.refusals_noted("sso_provider_updated", provider.organisation, actor)
    with noted, transaction.atomic():
        provider = _locked(provider)
        if provider.enabled:
            return provider
        granting.refuse_beyond(provider.organisation, actor, _given_by(provider))
        if provider.issuer.rstrip("/") != metadata.issuer.rstrip("/"):
            raise Problem(409, "changed_meanwhile", "It was changed meanwhile. Look at it again.")
        provider.issuer, provider.enabled = metadata.issuer, True
        provider.save()
        _record("sso_provider_updated", provider, actor, reason, after={"enabled": True})
    discovery.forget(provider)
    return provider


def disable(*, provider: SsoProvider, actor: Actor, reason: str = "") -> SsoProvider:
    """Nobody comes in through it any more; who did stays signed in until their session ends.

    Raises Problem 404 `not_found`, 409 `last_provider_required`.
    """
    with transaction.atomic():
        provider = _locked(provider)
        if not provider.enabled:
            return provider
        _refuse_last(provider)
        provider.enabled = False
        provider.save()
        _record("sso_provider_updated", provider, actor, reason, after={"enabled": False})
    return provider


def delete(*, provider: SsoProvider, actor: Actor, reason: str = "") -> None:
    """Ends a provider and its mapping. Its people stay members, with the roles they have; they can
    come in again through another provider of the same issuer.

    Raises Problem 409 `last_provider_required`; twice does nothing.
    """
    with transaction.atomic():
        # First, as whoever requires single sign-on does: neither that nor another deletion may
        # come between the question whether this is the last way in and its answer.
        Organisation.objects.select_for_update(no_key=True).get(pk=provider.organisation_id)
        locked = SsoProvider.objects.select_for_update().filter(pk=provider.pk).first()
        if locked is None:
            return
        _refuse_last(locked)
        with in_schema(locked.organisation):
            GroupMapping.objects.filter(provider=locked.pk).delete()
        versions.move_on(locked.organisation_id)
        _record("sso_provider_deleted", locked, actor, reason, before=_told(locked))
        locked.delete()
    discovery.forget(provider)


def set_mapping(
    *, provider: SsoProvider, wanted: Mapping[str, str], actor: Actor, reason: str = ""
) -> dict[str, str]:
    """Replaces the whole mapping {folded group: role id}; it bites with the next sign-in of each.

    Only what changes is held against the actor's own rights. Raises Problem 400 `validation_error`
    for an unknown role, `too_many_permissions` where its roles together come to more than one person
    may hold; 403 `escalation_denied`, 404 `not_found`.
    """
    if len(wanted) > mapping.MOST:
        raise rules.Invalid("groupRoleMappings", f"At most {mapping.MOST} groups can be mapped.")
    noted = granting.refusals_noted("sso_mapping_changed", provider.organisation, actor)
    with noted, transaction.atomic():
        provider = _locked(provider)
        organisation = provider.organisation
        versions.move_on(organisation.pk)
        with in_schema(organisation):
            before = mapping.of(provider)
            if before == dict(wanted):
                return before
            known = set(Role.objects.values_list("pk", flat=True))
            if unknown := sorted(set(wanted.values()) - known):
                raise rules.Invalid("groupRoleMappings", f"There is no role {unknown[0][:64]}.")
            tree = Tree.load()
            holding.may_hold(
                tree,
                wanted.values(),
                instead_of=holding.count(tree, before.values()),
                whom="Somebody in all of these groups",
            )
            # Taking a role that denies something away gives as well.
            touched = set(before.items()) ^ set(wanted.items())
        granting.refuse_beyond(organisation, actor, {role for _, role in touched})
        with in_schema(organisation):
            GroupMapping.objects.filter(provider=provider.pk).delete()
            GroupMapping.objects.bulk_create(
                GroupMapping(provider=provider.pk, group=group, role_id=role)
                for group, role in wanted.items()
            )
        _record(
            "sso_mapping_changed",
            provider,
            actor,
            reason,
            before={"groups": before},
            after={"groups": dict(wanted)},
        )
    return dict(wanted)


def probe(provider: SsoProvider) -> discovery.Metadata:
    """Asks the provider now, cached answers aside. Raises Problem 400 `discovery_failed`."""
    discovery.forget(provider)
    try:
        metadata = discovery.read(provider.issuer)
        discovery.keys(provider, metadata, kid=None)
    except SsoRefused as refused:
        raise Problem(400, "discovery_failed", refused.detail or refused.reason.title) from None
    return metadata


def _locked(provider: SsoProvider) -> SsoProvider:
    """As it is now, its organisation locked first. Raises Problem 404, 409 `org_not_active`."""
    organisation = membership.active(provider.organisation)
    found = SsoProvider.objects.select_for_update().filter(pk=provider.pk).first()
    if found is None:
        raise Problem(404, "not_found", "There is no such provider.")
    found.organisation = organisation
    return found


def _refuse_last(provider: SsoProvider) -> None:
    """While single sign-on is required, one way in must stay."""
    others = SsoProvider.objects.filter(organisation=provider.organisation_id, enabled=True)
    required = Organisation.objects.get(pk=provider.organisation_id).sso_required
    if provider.enabled and required and not others.exclude(pk=provider.pk).exists():
        raise Problem(
            409,
            "last_provider_required",
            "Members must come through it. Stop requiring single sign-on first.",
        )


def _given_by(provider: SsoProvider) -> set[str]:
    """The roles that people get through it: newcomers, and those of its mapping."""
    with in_schema(provider.organisation):
        return {ROLE_OF_MEMBER[provider.default_role], *mapping.of(provider).values()}


def _decides_who_comes(provider: SsoProvider, values: Values) -> bool:
    """Whether these settings may let in other people, or the same ones with other roles."""
    wanted = {k: v for k, v in asdict(values).items() if k not in HARMLESS}
    wanted["issuer"] = values.issuer.rstrip("/")
    stored = {name: getattr(provider, name) for name in wanted}
    return wanted != {**stored, "issuer": provider.issuer.rstrip("/")}


def _fill(provider: SsoProvider, values: Values) -> None:
    for name, value in asdict(values).items():
        if name != "secret":
            setattr(provider, name, value)
    if values.secret is not None:
        context = str(provider.organisation_id)
        provider.client_secret_sealed = sealing.seal(values.secret.encode(), context=context)


def _told(provider: SsoProvider) -> dict[str, Any]:
    """What the trail may know of it."""
    names = [name for name in Values.__dataclass_fields__ if name != "secret"]
    told = {name: getattr(provider, name) for name in ("enabled", *names)}
    return {"id": provider.slug, **told}


def _record(
    action: str,
    provider: SsoProvider,
    actor: Actor,
    reason: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    trail.record(
        action=action,
        actor=actor,
        organisation=provider.organisation_id,
        subject=f"provider {provider.slug}",
        reason=reason,
        before=before,
        after=after,
    )
