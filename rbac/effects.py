"""What the life cycle does to API tokens and to what is known of an organisation's roles."""

from __future__ import annotations

from django.utils import timezone

from rbac import cache
from rbac.models import ApiToken
from tenants.effects import Effect
from tenants.models import Organisation
from tenants.schemas import in_schema, schema_exists


class TokensEffect(Effect):
    """Suspension and scheduled deletion leave tokens alone: a lifted suspension needs no new pairing.

    A purge ends them all, before the schema that holds them goes, and drops the cached rights.
    """

    def purge(self, organisation: Organisation) -> None:
        cache.forget(organisation.schema_name)
        if schema_exists(organisation.schema_name):
            with in_schema(organisation):
                ApiToken.objects.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())
