"""What the life cycle does to API tokens and to what is known of an organisation's roles."""

from __future__ import annotations

from django.utils import timezone

from rbac import cache, mobile
from rbac.models import ApiToken
from tenants import budgets
from tenants.effects import Effect
from tenants.models import Organisation
from tenants.notify import RUNTIME, notify
from tenants.schemas import in_schema, schema_exists


class TokensEffect(Effect):
    """Suspension and scheduled deletion leave tokens alone: a lifted suspension needs no new pairing.

    A purge ends them all, before the schema that holds them goes: a phone is refused from then on,
    whatever becomes of the rest.
    """

    name = "tokens"

    def put_back(self, organisation: Organisation) -> None:
        """Those of the backup too: somebody may have revoked one since, for a reason."""
        with in_schema(organisation):
            ApiToken.objects.filter(revoked_at=None).update(revoked_at=timezone.now())
        notify(RUNTIME, str(organisation.pk))

    def purge(self, organisation: Organisation) -> None:
        if schema_exists(organisation.schema_name):
            with in_schema(organisation):
                ApiToken.objects.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())

    def counts(self, organisation: Organisation) -> dict[str, int]:
        """Living tokens; paired phones are those of them that a phone holds."""
        if not schema_exists(organisation.schema_name):
            return {"tokens": 0, "phones": 0}
        with in_schema(organisation):
            now = timezone.now()
            living = ApiToken.objects.filter(revoked_at=None).exclude(expires_at__lte=now)
            phones = living.filter(purpose=mobile.PURPOSE).count()
            return {"tokens": living.count() - phones, "phones": phones}


class CachesEffect(Effect):
    """What is remembered of an organisation apart from its tables: rights, and request counts.

    Other processes forget by themselves: what they cached is good for one version of a row that
    lets nobody in any more, and a schema name never comes again (`rbac.cache`).
    """

    name = "caches"

    def purge(self, organisation: Organisation) -> None:
        cache.forget(organisation.schema_name)
        budgets.forget_organisation(organisation.pk)
