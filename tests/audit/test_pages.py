"""The audit pages of an organisation's host, as people see them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from audit import sealing
from audit.actors import Actor
from audit.models import Event
from rbac import audit_pages
from tenants.models import MemberRole, Organisation
from tests.audit.asking import write
from tests.factories import add_member, make_organisation, owner_of, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation()


@pytest.fixture
def page(organisation: Organisation) -> Any:
    client = Client()
    sign_in(client, owner_of(organisation), organisation)

    def get(path: str = "/audit", status: int = 200, **query: str) -> str:
        answer = client.get(path, query, HTTP_HOST=organisation.instance_host)
        assert answer.status_code == status
        return answer.content.decode()

    return get


def titles(text: str) -> list[str]:
    return re.findall(r'<h2><a href="/audit/[0-9a-f-]+">([^<]+)</a></h2>', text)


def test_shows_what_who_when_why_and_the_change(organisation: Organisation, page: Any) -> None:
    write(
        organisation, "Example Ltd", action="org_renamed", reason="a better name",
        before={"display_name": "Old", "same": 1}, after={"display_name": "New", "same": 1},
    )  # fmt: skip
    text = page()
    assert titles(text)[0] == "Organisation renamed"
    for seen in ("ann@example.test", "Example Ltd", "a better name", "<del>Old</del>",
                 "<ins>New</ins>", "display name", "Not sealed yet"):  # fmt: skip
        assert seen in text
    assert "<dt>same</dt>" not in text
    sealing.seal()
    assert "Sealed" in page() and "Not sealed yet" not in page()


def test_filters_and_keeps_what_was_typed(organisation: Organisation, page: Any) -> None:
    write(organisation, action="org_renamed")
    write(organisation, action="sign_in_failed", success=False)
    assert titles(page(event="org_renamed")) == ["Organisation renamed"]
    text = page(outcome="no")
    assert titles(text) == ["Sign-in failed"]
    assert '<option value="no" selected>' in text
    assert titles(page(user="ann@")) == ["Sign-in failed", "Organisation renamed"]
    assert 'value="ann@"' in page(user="ann@")
    assert titles(page(**{"to": "2020-01-01"})) == []
    today = f"{Event.objects.latest('id').at:%Y-%m-%d}"
    assert "Sign-in failed" in titles(page(**{"from": today, "to": today}))
    assert "Refused" in text
    # The export has the same filters.
    assert "/api/audit/export?format=csv&amp;success=false" in text.replace("&amp;amp;", "&amp;")


def test_people_are_called_by_name(organisation: Organisation, page: Any) -> None:
    person = add_member(organisation, MemberRole.VIEWER)
    write(organisation, f"user {person.pk}", action="member_removed")
    text = page(event="member_removed")
    assert "Person removed" in text
    assert f'<p class="small muted">{person.email}</p>' in text


def test_nothing_found_and_the_way_back(page: Any) -> None:
    text = page(event="no_such_thing")
    assert "No such event" in text
    assert 'href="/audit"' in text


@pytest.mark.parametrize(
    "query",
    [{"from": "x"}, {"to": "9999-12-31"}, {"from": "0001-01-01"}, {"to": "0001-01-02"}, {"before": "abc"}, {"outcome": "?"},
     {"before": "9" * 30}, {"user": "%_\\'"}, {"to": "2026-02-30"}],
    ids=["from", "far", "early", "ended early", "before", "outcome", "huge", "like", "no day"],
)  # fmt: skip
def test_what_makes_no_sense_counts_as_not_given(page: Any, query: dict[str, str]) -> None:
    page(**query)


def test_pages_through(
    organisation: Organisation, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pages, "PER_PAGE", 4)
    for number in range(10):
        write(organisation, f"n{number}")
    seen: list[str] = []
    path: str | None = "/audit?event=thing_done"
    turns = 0
    while path:
        text = page(path)
        seen += re.findall(r'<p class="small muted">(n\d)</p>', text)
        older = re.search(r'href="(/audit\?[^"]*before=\d+)">Older', text)
        path = older[1].replace("&amp;", "&") if older else None
        assert ("Newest events" in text) == bool(turns)
        turns += 1
    assert seen == [f"n{number}" for number in reversed(range(10))]
    assert turns == 3


def test_one_event(organisation: Organisation, page: Any) -> None:
    event = write(
        organisation, "lamp", address="192.0.2.7", path="/api/lamp", request_id="r-1",
        after={"names": ["a", "b"], "on": True},
    )  # fmt: skip
    text = page(f"/audit/{event.uuid}")
    for seen in ("192.0.2.7", "/api/lamp", "r-1", "a, b", "yes", "Not sealed yet", str(event.uuid)):
        assert seen in text
    sealing.seal()
    text = page(f"/audit/{event.uuid}")
    assert "Sealed and as it was recorded" in text
    assert "Signature (Ed25519)" in text


def test_anothers_event_is_not_found(organisation: Organisation, page: Any) -> None:
    foreign = write(make_organisation(), "foreign")
    assert "foreign" not in page(f"/audit/{foreign.uuid}", status=404)


@pytest.mark.covers("F68")
def test_hostile_names_are_text(organisation: Organisation, page: Any) -> None:
    hostile = "<script>alert('x')</script><b title=\"'\">"
    event = write(
        organisation, hostile, reason=hostile, before={hostile: hostile}, action="thing_done",
        actor=Actor("person", hostile, hostile), path=hostile, request_id=hostile,
    )  # fmt: skip
    for text in (page(), page(f"/audit/{event.uuid}"), page(user=hostile, event=hostile)):
        assert "<script>alert" not in text
        assert "<b title" not in text


def test_staff_are_not_named(organisation: Organisation, page: Any) -> None:
    event = write(
        organisation, actor=Actor("staff", "77", "hidden@platform.example"), address="198.51.100.9",
        path="/admin/x",
    )  # fmt: skip
    for text in (page(), page(f"/audit/{event.uuid}")):
        assert "Platform staff" in text
        assert "hidden@" not in text and "198.51.100.9" not in text and "/admin/x" not in text


def test_who_may_not_read_it_gets_a_page_that_says_so(organisation: Organisation) -> None:
    from rbac.models import Assignment
    from tenants.schemas import in_schema

    person = add_member(organisation, MemberRole.VIEWER)
    with in_schema(organisation):
        Assignment.objects.filter(user=person.pk).delete()
    client = Client()
    sign_in(client, person, organisation)
    assert client.get("/audit", HTTP_HOST=organisation.instance_host).status_code == 403


def test_strangers_are_sent_to_sign_in(organisation: Organisation) -> None:
    answer = Client().get("/audit", HTTP_HOST=organisation.instance_host)
    assert (answer.status_code, answer["Location"].endswith(f"/o/{organisation.label}/")) == (
        302,
        True,
    )
