"""Whether a phone's token opens a channel. Not knowing is not the same as no.

A phone that is told AUTH_FAILED deletes its pairing, so that answer is for tokens which are really
revoked or unknown. While the database is away nothing is answered, and the relay says
INTERNAL_ERROR (relay-protocol section 9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog

from rbac import tokens
from relay.runtime.database import Database
from tenants.models import Organisation, Runtime, State
from tenants.schemas import in_schema

ANSWER_SECONDS = 8.0  # the relay waits 10 s for the echo

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class _NotServed(Exception):
    """The organisation is no longer active here; its phones stay paired."""


class PhoneTokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def opens(self, organisation: UUID, secret: str) -> bool | None:
        """True or False; None when that cannot be known now. Opening a channel counts as use."""
        return await self._ask(organisation, partial(_opens, organisation, secret))

    async def refused(self, organisation: UUID, secrets: Collection[str]) -> set[str]:
        """Those of `secrets` that are certainly not valid any more."""
        return await self._ask(organisation, partial(_refused, organisation, secrets)) or set()

    async def _ask(self, organisation: UUID, question: Callable[[], Result]) -> Result | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._database.urgent(question)
        except _NotServed:
            return None
        except Exception as error:
            # The error's text may quote what was asked for; its name is enough here.
            log.warning(
                "phone tokens cannot be checked",
                organisation=str(organisation),
                error=type(error).__name__,
            )
            return None


def _opens(organisation: UUID, secret: str) -> bool:
    current = _served(organisation)
    if not tokens.is_valid(current, secret):
        return False
    with in_schema(current):
        tokens.find(secret)  # notes the use: a paired phone's token no longer dies unused
    return True


def _refused(organisation: UUID, secrets: Collection[str]) -> set[str]:
    current = _served(organisation)
    return {secret for secret in secrets if not tokens.is_valid(current, secret)}


def _served(organisation: UUID) -> Organisation:
    current = Organisation.objects.filter(
        pk=organisation, state=State.ACTIVE, runtime=Runtime.BUILTIN
    ).first()
    if current is None:
        raise _NotServed
    return current
