"""Who reads the database can sign in as nobody: it holds hashes of the sessions' cookies only."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from tenants.accounts import sessions
from tenants.accounts.sessions import SessionStore
from tenants.models import Session
from tests.factories import make_organisation, make_user, owner_of, sign_in

pytestmark = pytest.mark.django_db
HOST = {"host": "localhost"}


def everything() -> str:
    """Every row of every table in `public`, as text; session data decoded."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [row[0] for row in cursor.fetchall()]
        texts = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM public."{table}" AS t')
            texts += [row[0] for row in cursor.fetchall()]
    return "\n".join(texts + [str(row.get_decoded()) for row in Session.objects.all()])


def cookie(client: Client) -> str:
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


def test_no_cookie_stands_in_the_database() -> None:
    organisation = make_organisation()
    client = Client()
    sign_in(client, owner_of(organisation))
    assert client.post(f"/o/{organisation.label}/", headers=HOST).status_code == 200
    assert client.get("/signup/status", headers=HOST).status_code == 200
    text = everything()
    assert sessions.reference(cookie(client)) in text, "the search finds what is there"
    assert cookie(client) not in text


def test_what_stands_there_is_no_cookie() -> None:
    client = Client()
    sign_in(client, make_user())
    client.cookies[settings.SESSION_COOKIE_NAME] = sessions.reference(cookie(client))
    assert client.get("/signup/status", headers=HOST).status_code == 401


def test_a_session_is_kept_changed_and_ended() -> None:
    client = Client()
    sign_in(client, make_user())
    key = cookie(client)
    kept = SessionStore(key)
    kept["seen"] = "x" * 30
    kept.save()
    assert SessionStore(key)["seen"] == "x" * 30
    assert SessionStore().exists(key)
    assert client.post("/accounts/logout/", headers=HOST).status_code == 302
    assert not SessionStore().exists(key)
    client.cookies[settings.SESSION_COOKIE_NAME] = key
    assert client.get("/signup/status", headers=HOST).status_code == 401


def test_a_new_key_takes_the_old_ones_place() -> None:
    """As at sign-in: what was in the session stays, under a key that nobody saw before."""
    store = SessionStore()
    store["seen"] = "yes"
    store.create()
    old = store.session_key
    store.cycle_key()
    assert store.session_key not in (None, old)
    assert old is not None and not SessionStore().exists(old)
    assert SessionStore(store.session_key)["seen"] == "yes"
    store.flush()
    assert not Session.objects.filter(host="", user=None, session_key=sessions.reference(old))


def test_one_key_is_never_given_out_twice() -> None:
    from django.contrib.sessions.backends.base import CreateError

    store = SessionStore()
    store.create()
    again = SessionStore(store.session_key)
    with pytest.raises(CreateError):
        again.save(must_create=True)
