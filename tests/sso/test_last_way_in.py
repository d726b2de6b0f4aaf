"""Whatever races, an organisation that requires single sign-on keeps a way in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from audit.actors import Actor
from rbac.sso import providers, requirement
from tenants.http.problems import Problem
from tenants.models import Organisation, SsoProvider
from tests.factories import make_organisation, owner_of
from tests.sso.idp import Idp
from tests.sso.people import make_provider
from tests.waiting import until

# Not pg_stat_activity, which shows a transaction what it saw there first.
_WAITS = """
SELECT count(*) FROM pg_locks
WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
"""


@pytest.mark.covers("F74")
@pytest.mark.parametrize("other", ["requirement", "deletion"])
def test_deleting_waits_for_who_makes_it_the_last_way_in(
    live_db: None, idp: Idp, other: str
) -> None:
    organisation = make_organisation()
    actor = Actor.person(owner_of(organisation))
    provider = make_provider(organisation, idp)
    if other == "deletion":
        second = make_provider(organisation, idp, "second")
        requirement.require(organisation=organisation, on=True, actor=actor)

    def delete() -> str:
        try:
            providers.delete(provider=provider, actor=actor)
        except Problem as problem:
            return problem.code
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            if other == "deletion":
                providers.delete(provider=second, actor=actor)
            else:
                requirement.require(organisation=organisation, on=True, actor=actor)
            deleting = pool.submit(delete)
            until(_somebody_waits, 10, what="the deletion waits")
        assert deleting.result(30) == "last_provider_required"
    assert Organisation.objects.get(pk=organisation.pk).sso_required
    assert SsoProvider.objects.get(organisation=organisation, enabled=True) == provider


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITS)
        return bool(cursor.fetchone()[0])
