"""GET /api/audit: the contract's fields, filters, codes and guards (hosted-contract section 24)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import sealing
from audit.actors import Actor
from audit.models import Event, SealedEvent
from billing.models import BillingState
from tenants.models import MemberRole
from tests.audit.asking import PERSON, Asking, write
from tests.factories import add_member, make_organisation, make_token, make_user, put_in_state

pytestmark = pytest.mark.django_db


@pytest.fixture
def asking() -> Asking:
    return Asking(make_organisation())


def test_works(asking: Asking) -> None:
    event = write(
        asking.organisation, "the lamp", reason="too dark", before={"on": False},
        after={"on": True, "password": "s3cr3t"}, request_id="r1", address="192.0.2.7",
        path="/api/lamp",
    )  # fmt: skip
    answer = asking.get(limit=1)
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"events", "total", "persistentLogging"}
    assert body["persistentLogging"] is True
    assert body["total"] == Event.objects.filter(organisation=asking.organisation.pk).count()
    (shown,) = body["events"]
    assert shown == {
        "id": str(event.uuid),
        "timestamp": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": "thing_done",
        "user": "ann@example.test",
        "ip": "192.0.2.7",
        "path": "/api/lamp",
        "success": True,
        "details": "the lamp: too dark",
        "actor": "person",
        "subject": "the lamp",
        "reason": "too dark",
        "before": {"on": False},
        "after": {"on": True, "password": "[redacted]"},
        "requestId": "r1",
        "seal": None,
    }


def test_a_sealed_event_has_its_signature(asking: Asking) -> None:
    write(asking.organisation)
    (batch,) = sealing.seal()
    shown = asking.get(limit=1).json()["events"][0]
    assert shown["seal"] == batch.number
    assert shown["signature"] == f"ed25519:{batch.key_id}:{batch.signature}"


def test_pages(asking: Asking) -> None:
    for number in range(5):
        write(asking.organisation, f"n{number}")
    assert asking.found(limit=2, event="thing_done") == ["n4", "n3"]
    assert asking.found(limit=2, offset=3, event="thing_done") == ["n1", "n0"]
    assert asking.found(offset=99) == []
    assert asking.get(event="thing_done", limit=1).json()["total"] == 5


def test_filters(asking: Asking) -> None:
    organisation = asking.organisation
    write(organisation, "one", action="first_thing")
    write(organisation, "two", success=False)
    write(organisation, "three", actor=Actor("token", "t1", "Nightly report"))
    write(organisation, "four", actor=Actor.anonymous())
    assert asking.found(event="first_thing") == ["one"]
    assert asking.found(event="FIRST_THING") == ["one"]
    assert asking.found(event="first") == []
    assert asking.found(success="false") == ["two"]
    assert "two" not in asking.found(success="true")
    assert asking.found(user="Ann@example") == ["two", "one"]
    assert asking.found(user=PERSON.id) == ["two", "one"]
    assert asking.found(user="API token Nightly report") == ["three"]
    assert asking.found(user="nightly") == ["three"]
    assert asking.found(user="Not signed in") == ["four"]
    assert asking.found(user="ann@example.test", success="false", event="thing_done") == ["two"]
    assert asking.found(user="%") == []


def test_times(asking: Asking) -> None:
    event = write(asking.organisation, "now")
    before, after = event.at - timedelta(minutes=1), event.at + timedelta(minutes=1)
    assert asking.found(event="thing_done", startTime=before.isoformat()) == ["now"]
    assert asking.found(startTime=after.isoformat()) == []
    assert asking.found(event="thing_done", endTime=f"{after:%Y-%m-%dT%H:%M:%SZ}") == ["now"]
    assert asking.found(event="thing_done", endTime=before.isoformat()) == []
    away = event.at.astimezone(UTC) + timedelta(hours=2)  # the same moment, told in another zone
    assert asking.found(event="thing_done", startTime=f"{away:%Y-%m-%dT%H:%M:%S}+02:00") == ["now"]
    # A client that forgot to encode the plus.
    assert asking.found(event="thing_done", startTime=f"{away:%Y-%m-%dT%H:%M:%S} 02:00") == ["now"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "invalid_limit"),
        ({"limit": "1001"}, "invalid_limit"),
        ({"limit": "-1"}, "invalid_limit"),
        ({"limit": "ten"}, "invalid_limit"),
        ({"limit": "٣"}, "invalid_limit"),
        ({"offset": "-1"}, "invalid_offset"),
        ({"offset": "9" * 30}, "invalid_offset"),
        ({"offset": "x"}, "invalid_offset"),
        ({"success": "yes"}, "invalid_success"),
        ({"startTime": "yesterday"}, "invalid_start_time"),
        ({"startTime": "2026-01-01"}, "invalid_start_time"),
        ({"startTime": "2026-01-01T00:00:00"}, "invalid_start_time"),
        ({"startTime": "2026-13-01T00:00:00Z"}, "invalid_start_time"),
        ({"startTime": "0001-01-01T00:00:00+14:00"}, "invalid_start_time"),
        ({"endTime": "9999-12-31T23:59:59-14:00"}, "invalid_end_time"),
        ({"endTime": "1767225600"}, "invalid_end_time"),
        ({"endTime": "0001-01-02T00:00:00Z"}, "invalid_end_time"),
        ({"endTime": "1999-12-31T23:59:59Z"}, "invalid_end_time"),
        ({"startTime": "9001-01-01T00:00:00Z"}, "invalid_start_time"),
        ({"startTime": "9000-12-31T23:00:00-14:00"}, "invalid_start_time"),
        (
            {"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"},
            "invalid_time_range",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "&".join(f"{k}={v}" for k, v in value.items()),
)  # fmt: skip
def test_mistakes(asking: Asking, query: dict[str, str], code: str) -> None:
    for path in ("", "/export", "/summary"):
        if path and set(query) & {"limit", "offset"}:
            continue
        answer = asking.get(path, **query)
        assert answer.status_code == 400
        assert answer.json()["code"] == code
        assert set(answer.json()) == {"error", "code", "status_code", "timestamp"}


@pytest.mark.parametrize(
    "user", ["\x00", "\ud800".encode("utf-8", "replace").decode(), "'; --", "ä" * 999]
)
def test_any_text_can_be_searched_for(asking: Asking, user: str) -> None:
    assert asking.get(user=user).status_code in (200, 400)


class TestOnlyOnesOwn:
    def test_other_organisations_and_the_platform_are_not_there(self, asking: Asking) -> None:
        mine, theirs = asking.organisation, make_organisation()
        write(mine, "mine")
        foreign = write(theirs, "foreign-marker")
        platform = write(theirs, "x")
        Event.objects.create(action="platform_only", actor_kind="system", subject="platform-marker")
        sealing.seal()
        texts = [
            asking.get(limit=1000).content.decode(),
            asking.get(user="ann@example.test").content.decode(),
            b"".join(asking.get("/export")).decode(),
            b"".join(asking.get("/export", format="csv", verify="true")).decode(),
            asking.get("/summary").content.decode(),
        ]
        for text in texts:
            for marker in ("foreign-marker", "platform-marker", "platform_only", str(theirs.pk)):
                assert marker not in text
        assert asking.get("").json()["total"] == Event.objects.filter(organisation=mine.pk).count()
        for event in (foreign, platform):
            assert asking.get(f"/{event.uuid}/verify").status_code == 404
        assert asking.get(f"/{uuid.uuid4()}/verify").status_code == 404
        assert asking.get("/no-uuid/verify").status_code == 404

    def test_a_former_organisation_of_the_same_name_is_not_there(self, asking: Asking) -> None:
        write(asking.organisation, "mine")
        Event.objects.create(
            action="thing_done", actor_kind="system", organisation=uuid.uuid4(),
            subject=f"of another {asking.organisation.label}",
        )  # fmt: skip
        assert asking.found(event="thing_done") == ["mine"]


class TestStaff:
    """What staff did is shown; who of them it was and from where is not, and cannot be searched."""

    @pytest.fixture
    def event(self, asking: Asking) -> Event:
        person = make_user("secret-name@platform.example", is_staff=True)
        return write(
            asking.organisation, "suspended by us", actor=Actor.staff(person), reason="unpaid",
            address="198.51.100.9", path="/admin/tenants/organisation/x/suspend/",
        )  # fmt: skip

    def test_is_shown_without_name(self, asking: Asking, event: Event) -> None:
        shown = asking.get(event="thing_done").json()["events"][0]
        assert (shown["user"], shown["actor"]) == ("Platform staff", "staff")
        assert (shown["ip"], shown["path"], shown["reason"]) == ("", "", "unpaid")
        for answer in (asking.get(), asking.get("/summary"), asking.get("/export")):
            text = b"".join(answer).decode()
            for hidden in ("secret-name", event.actor_id, "198.51.100.9", "/admin/"):
                assert hidden not in text

    def test_is_found_as_staff_only(self, asking: Asking, event: Event) -> None:
        assert asking.found(user="platform staff") == ["suspended by us"]
        for name in ("secret-name", "secret-name@platform.example", event.actor_id, "platform"):
            assert asking.found(user=name) == []

    def test_the_software_is_pulsecloud(self, asking: Asking) -> None:
        write(asking.organisation, "swept", actor=Actor.system("sweep"), address="10.0.0.1")
        shown = asking.get(event="thing_done", user="PulseCloud").json()["events"][0]
        assert (shown["user"], shown["ip"], shown["subject"]) == ("PulseCloud", "", "swept")


class TestVerify:
    def test_not_sealed_yet(self, asking: Asking) -> None:
        event = write(asking.organisation)
        body = asking.get(f"/{event.uuid}/verify").json()
        assert (body["available"], body["verified"], body["seal"]) == (False, False, None)
        assert "not sealed yet" in body["message"]

    def test_as_it_was(self, asking: Asking) -> None:
        event = write(asking.organisation)
        (batch,) = sealing.seal()
        assert asking.get(f"/{event.uuid}/verify").json() == {
            "available": True,
            "verified": True,
            "message": f"The event is as it was recorded (seal {batch.number}).",
            "seal": batch.number,
        }


def test_summary(asking: Asking) -> None:
    organisation = asking.organisation
    since = datetime.now(UTC)
    write(organisation)
    write(organisation)
    sealing.seal()
    write(organisation, action="other_thing", success=False, actor=Actor("staff", "1", "hidden"))
    write(organisation, action="other_thing", success=False, actor=Actor("staff", "2", "unseen"))
    body = asking.get("/summary", startTime=since.isoformat()).json()
    assert (body["total"], body["succeeded"], body["failed"], body["unsealed"]) == (4, 2, 2, 2)
    assert body["byEvent"] == [
        {"event": "other_thing", "count": 2},
        {"event": "thing_done", "count": 2},
    ]
    assert body["byUser"] == [
        {"user": "Platform staff", "count": 2},
        {"user": "ann@example.test", "count": 2},
    ]
    assert body["firstAt"] <= body["lastAt"]
    early = asking.get("/summary", endTime="2020-01-01T00:00:00Z").json()
    assert (early["total"], early["firstAt"], early["byUser"]) == (0, None, [])
    assert asking.get("/summary", startTime="x").json()["code"] == "invalid_start_time"


class TestGuards:
    PATHS = ("", "/summary", "/export", f"/{uuid.uuid4()}/verify")

    def statuses(self, asking: Asking) -> set[int]:
        return {asking.get(path).status_code for path in self.PATHS}

    def test_without_credentials(self, asking: Asking) -> None:
        assert self.statuses(Asking(asking.organisation, "0" * 64)) == {401}

    def test_a_plan_without_it(self, asking: Asking) -> None:
        state = BillingState.objects.get(organisation=asking.organisation)
        state.capabilities = [c for c in state.capabilities if c != "audit_logging"]
        state.save()
        assert self.statuses(asking) == {402}
        assert asking.get().json()["feature"] == "audit_logging"

    def test_a_role_that_may_not(self, asking: Asking) -> None:
        from rbac.models import Permission
        from tenants import versions
        from tenants.schemas import in_schema

        viewer = add_member(asking.organisation, MemberRole.VIEWER)
        secret = make_token(asking.organisation, user=viewer)
        allowed = Asking(asking.organisation, secret)
        assert allowed.get().status_code == 200
        with in_schema(asking.organisation):
            Permission.objects.create(
                role_id="viewer", action="read", resource="audit_logs", effect="deny"
            )
        versions.move_on(asking.organisation.pk)
        assert self.statuses(allowed) == {403}

    def test_tokens_need_their_scope(self, asking: Asking) -> None:
        organisation = asking.organisation
        without = Asking(organisation, make_token(organisation, "settings:read"))
        assert self.statuses(without) == {403}
        assert without.get().json()["requiredScope"] == "audit:read"
        assert Asking(organisation, make_token(organisation, "audit:read")).get().status_code == 200
        phone = Asking(organisation, make_token(organisation, "relay:mobile:access"))
        assert self.statuses(phone) <= {403, 404}

    def test_a_suspended_organisation(self) -> None:
        organisation = make_organisation()
        secret = make_token(organisation)
        put_in_state(organisation, "suspended")
        assert self.statuses(Asking(organisation, secret)) == {403}


def test_constant_number_of_queries(asking: Asking) -> None:
    write(asking.organisation)
    sealing.seal()
    asking.get()

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert asking.get().status_code == 200
        return len(captured)

    few = count()
    for number in range(30):
        write(asking.organisation, f"n{number}")
        if number % 10 == 0:
            sealing.seal()
    assert count() <= few <= 16
    assert SealedEvent.objects.exists()


@pytest.mark.parametrize("name", ["oidc_login", "oidc_role_assignment"])
def test_names_of_the_contracts_documents_find_ours(asking: Asking, name: str) -> None:
    write(asking.organisation, action=f"sso_{name}")
    found = asking.get(event=name).json()["events"]
    assert [event["event"] for event in found] == [f"sso_{name}"]
