"""Who serves an organisation's phones: the built-in runtime or one that its owner runs.

One instance, one runtime (design section 6). The registration with its identity stays, so that
switching back needs nothing new; phones paired with the other runtime are retired, because they
have pinned that one's identity and hold tokens that it alone knows.
"""

from __future__ import annotations

from django.db import transaction

from audit import trail
from audit.actors import Actor
from billing import refresh
from rbac import mobile, tokens
from relay.models import Registration, RelayStatus
from relay.server.models import Session
from tenants.models import Organisation, Runtime
from tenants.notify import RELAY, RUNTIME, notify
from tenants.schemas import in_schema
from tenants.states import locked


def switch_runtime(
    *, organisation: Organisation, to: Runtime, actor: Actor, reason: str = ""
) -> Organisation:
    """Makes `to` the organisation's runtime; does nothing when it is that already.

    To external: the built-in one is told to stop, its resume session dies and its phones are
    retired. Only then does billing.refresh.issue_refresh_token() hand out the credential of the
    other runtime, so the built-in one always stops first. Until its connection is gone (within
    2 s) the relay tells the newcomer DUPLICATE_INSTANCE, and it comes again.

    To built-in: the external one's refresh tokens die. A lease that it holds already stays good
    for up to 24 h, and while it keeps its connection the relay refuses the built-in one: stop it.
    """
    with transaction.atomic():
        organisation = locked(organisation)
        before = organisation.runtime
        if before == to:
            return organisation
        organisation.runtime = to
        organisation.save(update_fields=["runtime", "changed_at"])
        if to == Runtime.BUILTIN:
            refresh.revoke_refresh_tokens(organisation, actor=actor, reason=reason)
        retired = _retire_phones(organisation, actor=actor)
        Session.objects.filter(organisation=organisation.pk).delete()
        RelayStatus.objects.filter(organisation=organisation).update(
            connected=False, connected_at=None, active_channels=0, last_error="", reconnect_at=None
        )
        trail.record(
            action="runtime_switched",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
            before={"runtime": before},
            after={"runtime": str(to), "phones_retired": retired},
        )
        notify(RUNTIME, organisation.pk)
        for instance_id in _instance_ids(organisation):
            notify(RELAY, instance_id)
    return organisation


def _retire_phones(organisation: Organisation, *, actor: Actor) -> int:
    with in_schema(organisation):
        paired = tokens.listed(purpose=mobile.PURPOSE)
    for token in paired:
        tokens.revoke(organisation, token.pk, actor=actor, reason="runtime switched")
    return len(paired)


def _instance_ids(organisation: Organisation) -> list[str]:
    rows = Registration.objects.filter(organisation=organisation)
    return list(rows.values_list("instance_id", flat=True))
