"""Why is this organisation blocked? The door's own checks answer (settings.REQUEST_CHECKS).

They are put the question that its owner's browser would put, for the first page of the
organisation: the very functions that refuse real requests, in their order, so that this cannot say
something else than the door does. It is a look only: it spends no request of anybody's limit,
writes nothing and signs nobody in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.module_loading import import_string

from tenants import advice
from tenants.accounts import sso_people
from tenants.accounts.sessions import HOST_KEY, SessionStore
from tenants.advice import Advice, Asked
from tenants.door import Knock, Refused, Requirement
from tenants.hosts import organisation_at
from tenants.models import MemberRole, Membership, Organisation, SsoIdentity, User
from tenants.schemas import SchemaError, in_schema

log = logging.getLogger(__name__)

PASSED: Final = "passed"
REFUSED: Final = "refused"
NOT_ASKED: Final = "not asked"  # an earlier check refused, and this one needs what that one finds
FIRST_PAGE: Final = Requirement("read", "organisation")
_SCHEMA: Final = "tenants.schemas.in_schema"


@dataclass(frozen=True)
class Look:
    """What one check says. `status` and `code` are what the customer is answered with (0 and empty
    when it passes); `advice` is for staff, None unless it refuses."""

    check: str
    title: str
    outcome: str
    status: int = 0
    code: str = ""
    message: str = ""
    advice: Advice | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All checks in the door's order, and the first that refuses.

    Behind the first refusal the checks that ask about the organisation alone are still put: who
    lifts a suspension wants to know that the trial is over as well.
    """

    organisation: Organisation
    person: User | None
    looks: tuple[Look, ...]

    @property
    def first(self) -> Look | None:
        return next((look for look in self.looks if look.outcome == REFUSED), None)

    @property
    def others(self) -> tuple[Look, ...]:
        """What would still refuse once the first is lifted."""
        refused = [look for look in self.looks if look.outcome == REFUSED]
        return tuple(refused[1:])

    @property
    def blocked(self) -> bool:
        return self.first is not None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: {organisation, state, asked_for, blocked, blocked_by, checks}."""
        return {
            "organisation": self.organisation.label,
            "state": self.organisation.state,
            "asked_for": str(self.person) if self.person else None,
            "blocked": self.blocked,
            "blocked_by": self.first.check if self.first else None,
            "checks": [asdict(look) for look in self.looks],
        }

    def lines(self) -> list[str]:
        """For a terminal: the checks, then what to do."""
        marks = {PASSED: "ok      ", REFUSED: "REFUSES ", NOT_ASKED: "–       "}
        said = [f"{marks[look.outcome]}{look.title}" for look in self.looks]
        if not self.blocked:
            return [*said, "", f"Nothing blocks {self.organisation.label}: the door is open."]
        for look in (look for look in self.looks if look.advice):
            said += ["", f"{look.title}: no ({look.status} {look.code})"]
            if look.advice is not None:
                said += [look.advice.because, look.advice.lift]
                said += [look.advice.command] if look.advice.command else []
        return said


def diagnose(organisation: Organisation, *, person: User | None = None) -> Diagnosis:
    """Puts every check of the door its question, for `person` or the owner. Never raises for what
    a check finds; a database that is away altogether raises DatabaseError."""
    person = person or _owner(organisation)
    asked = Asked(organisation, person)
    knock = _knock(organisation, person)
    looks: list[Look] = []
    shut = False
    for path in settings.REQUEST_CHECKS:
        check = import_string(path)
        title = advice.title_of(check)
        if shut and not _answers_alone(check, knock):
            looks.append(Look(path, title, NOT_ASKED))
            continue
        look = _put(path, title, check, asked, partial(check, knock))
        looks.append(look)
        shut = shut or look.outcome == REFUSED
    if not shut:  # the door's last act is to enter the schema
        looks.append(
            _put(_SCHEMA, "Its data can be read", None, asked, partial(_enter, organisation))
        )
    return Diagnosis(organisation, person, tuple(looks))


def _put(path: str, title: str, check: Any, asked: Asked, call: Callable[[], None]) -> Look:
    try:
        call()
    except Refused as refused:
        told = advice.advice_of(check, asked, refused.code)
        return Look(path, title, REFUSED, refused.status, refused.code, refused.message, told)
    except (DatabaseError, SchemaError) as error:
        # As the door does: a state that cannot be read is no reason to let anybody in.
        log.warning("why: %s could not be put: %s", path, error)
        told = advice.schema(asked, "unavailable")
        return Look(path, title, REFUSED, 503, "unavailable", "Service unavailable", told)
    return Look(path, title, PASSED)


def _answers_alone(check: Any, knock: Knock) -> bool:
    about = bool(getattr(check, "about_the_organisation", False))
    return about and knock.organisation is not None


def _enter(organisation: Organisation) -> None:
    with in_schema(organisation):
        pass


def _owner(organisation: Organisation) -> User | None:
    seats = Membership.objects.filter(organisation=organisation, role=MemberRole.OWNER)
    seat = seats.select_related("user").first()
    return seat.user if seat else None


def _knock(organisation: Organisation, person: User | None) -> Knock:
    """What the door would make of this person's browser on the organisation's host."""
    request = HttpRequest()
    request.method, request.path, request.path_info = "GET", "/", "/"
    request.META |= {"HTTP_HOST": organisation.instance_host, "REMOTE_ADDR": "127.0.0.1"}
    request.session = SessionStore()  # never saved
    request.session[HOST_KEY] = organisation.instance_host
    request.user = person or AnonymousUser()
    here = organisation_at(organisation.label)
    if here is not None and here.pk != organisation.pk:
        here = None  # an expired request whose label somebody else has now
    if here is not None and here.sso_required and person is not None:
        _come_by_sso(request, organisation, person)
    return Knock(
        request=request, organisation=here, requirement=FIRST_PAGE, is_api=True, looking=True
    )


def _come_by_sso(request: HttpRequest, organisation: Organisation, person: User) -> None:
    """The best way in that this person has."""
    identity = SsoIdentity.objects.filter(organisation=organisation, user=person).first()
    if identity is not None:
        request.session[sso_people.SESSION_KEY] = str(identity.provider_id)
