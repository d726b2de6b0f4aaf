"""The five RBAC drills (hosted-contract section 27): roles come and go with their organisation.

The contract's store per organisation is here a schema, and its manager what each process knows of
who may do what. A label is never issued twice, so "the same organisation again" is the same person
who asks for the same label once more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final
from uuid import UUID, uuid4

from pulsecloud.drills.flock import Flock, act, stored, want
from pulsecloud.proof import gauges
from pulsecloud.proof.browser import Browser, UnexpectedAnswer
from pulsecloud.proof.canary import Canary
from pulsecloud.proof.record import Show
from tenants import schemas
from tenants.residue import residue

Evidence = dict[str, Any]

STORES: Final = "pulse_rbac_managers_active"
BUILT_IN: Final = ["admin", "auditor", "operator", "viewer"]
# Requests before and after: enough that each process of web gets some, each on a new connection.
ASKED: Final = 16
REFUSED: Final = {401, 404}  # who are you, and nobody is here
# Other people's organisations come and go while the gauge is watched.
TRIES: Final = 3


class RbacDrills(Flock):
    def drills(self) -> list[tuple[str, str, Show]]:
        return [
            ("cache_cleaned", "no process remembers a deleted one's rights", self.cache_cleaned),
            ("store_removed", "deleting removes the store of roles", self.store_removed),
            ("fresh_store", "the same again starts with fresh roles", self.fresh_store),
            ("unknown_is_fine", "removing an unknown one harms nobody", self.unknown_is_fine),
            ("count_follows", "the count of stores follows", self.count_follows),
        ]

    def cache_cleaned(self) -> Evidence:
        """Session and API token are tried until every process has them in its cache, then again."""
        with self.canary() as canary, closing(Browser()) as program:
            _, secret, _ = canary.mint_device()
            never_was = program.organisation_host(f"{canary.label}-x")
            ways: dict[str, Callable[[str], dict[int, int]]] = {
                "the owner": lambda host: _asked(canary.browser, host),
                "the token": lambda host: _asked(program, host, {"X-API-Token": secret}),
            }
            for who, ask in ways.items():
                want(f"answers to {who}", ask(canary.host), {200: ASKED})
            canary.act("purge", {"reason": "drill"})
            after = {who: ask(canary.host) for who, ask in ways.items()}
            nobody = {who: ask(never_was) for who, ask in ways.items()}
        for who, answers in after.items():
            # Any other refusal, such as a web that is down, would say nothing about rights.
            if answers != nobody[who] or not answers.keys() <= REFUSED:
                raise UnexpectedAnswer(
                    f"{who} of a deleted organisation got {_counted(answers)}, and from a host "
                    f"that never was {_counted(nobody[who])}"
                )
        return {
            "requests": ASKED,
            "before": 200,
            "after": {who: min(answers) for who, answers in after.items()},
            "same_as_a_host_that_never_was": True,
        }

    def store_removed(self) -> Evidence:
        with self.canary() as canary:
            organisation, schema = UUID(str(canary.organisation)), stored(canary).schema_name
            _in_order(canary, roles=len(BUILT_IN))
            if not schemas.schema_exists(schema):
                raise UnexpectedAnswer(f"its roles answer, and schema {schema} is not there")
            canary.purge()
            if schemas.schema_exists(schema):
                raise UnexpectedAnswer(f"deleted, and schema {schema} is still there")
            want("what is left", residue(organisation), [])
        return {"schema": schema, "before": "there, healthy", "after": "gone", "left": []}

    def fresh_store(self) -> Evidence:
        role = f"drill-{secrets.token_hex(4)}"
        with self.canary() as first:
            made = {"id": role, "permissions": [{"action": "read", "resource": "nodes"}]}
            first.browser.expect(200, "POST", "/api/admin/roles", host=first.host, json=made)
            want("roles of the first", _roles(first), sorted([*BUILT_IN, role]))
            label, schema = first.label, stored(first).schema_name
            first.purge()
            with self.canary(label) as second:
                if second.label == label or second.organisation == first.organisation:
                    raise UnexpectedAnswer(f"{label} was issued again")
                if stored(second).schema_name == schema:
                    raise UnexpectedAnswer(f"schema {schema} was used again")
                want("roles of the second", _roles(second), BUILT_IN)
                _in_order(second, roles=len(BUILT_IN))
                log = second.browser.expect(
                    200, "GET", f"/api/admin/rbac/changelog?entityId={role}", host=second.host
                ).json()
                want("the second's change log about the first's role", log, [])
        return {"first": label, "second": second.label, "roles": BUILT_IN}

    def unknown_is_fine(self) -> Evidence:
        with self.canary() as canary:
            nobody = uuid4()
            act(canary, "purge", on=nobody, status=404, code="org_not_found")
            _in_order(canary, roles=len(BUILT_IN))
            want("its roles", _roles(canary), BUILT_IN)
        return {"organisation": str(nobody), "answer": "404 org_not_found", "others": "healthy"}

    def count_follows(self) -> Evidence:
        seen: list[list[int]] = []
        for _ in range(TRIES):
            before = gauges.of_web(STORES)
            with self.canary() as canary:
                during = gauges.of_web(STORES)
                canary.purge()
                after = gauges.of_web(STORES)
            seen.append([before, during, after])
            if during - before == 1 and after == before:
                return {STORES: seen[-1]}
        raise UnexpectedAnswer(f"{STORES} before, with and after one more organisation: {seen}")


def _asked(browser: Browser, host: str, headers: dict[str, str] | None = None) -> dict[int, int]:
    """{status: how often} over ASKED requests, each on a connection of its own."""
    answers: dict[int, int] = {}
    for _ in range(ASKED):
        sent = {"Connection": "close"} | (headers or {})
        answer = browser.request("GET", "/api/organisation", host=host, headers=sent)
        answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
    return answers


def _counted(answers: dict[int, int]) -> str:
    return ", ".join(f"{count} times {status}" for status, count in sorted(answers.items()))


def _roles(canary: Canary) -> list[str]:
    listed = canary.browser.expect(200, "GET", "/api/admin/roles", host=canary.host).json()
    return sorted(role["id"] for role in listed)


def _in_order(canary: Canary, *, roles: int) -> None:
    path = "/api/admin/rbac/integrity"
    found = canary.browser.expect(200, "GET", path, host=canary.host).json()
    if not found.get("healthy") or found.get("total_roles") != roles:
        raise UnexpectedAnswer(f"{path} says {found}")
