"""How often passwords and codes may be tried (hosted-contract section 8.1), shared by all processes.

A try counts before it is judged, so that parallel guesses cannot outrun the count; success gives
back what the same place had used. A place is the browser, if this account was ever signed in with
it, else the network address. Five wrong tries shut an account to that place for 15 minutes, many
more shut it to all places that it does not know. A browser that it knows is never among those:
nobody who guesses from elsewhere can keep an owner out. Passwords and codes are counted apart: who
has one of the two gets no tries back at the other.

Honest weakness: whoever stole a browser's cookie counts as that browser, five tries at a time.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from allauth.account.signals import user_logged_in
from django.conf import settings
from django.core import signing
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from tenants import limits, links
from tenants.models import LimitWindow, User

COOKIE: Final = "pulsecloud_known"
COOKIE_DAYS: Final = 180
_SALT: Final = "tenants.lockout"

SECONDS: Final = 15 * 60
TRIES: Final = 5  # of one account from one place
TRIES_IN_ALL: Final = 50  # of one account from all places that it does not know
# A code has six digits, three of which are good at a time: 20 tries an hour find one in two years.
CODES_IN_ALL: Final = 20
CODES_SECONDS: Final = 3600
CODES_WHERE_KNOWN: Final = 20  # of one account from one browser that it knows, in the same time
PER_ADDRESS: Final = 10  # of all accounts from one address, in a minute


def admit(request: HttpRequest, account: str) -> bool:
    """Counts a try at the password of `account` (its address); False when there were too many."""
    place, known = _place(request, account)
    return (
        limits.allow("sign-in-address", limits.address_of(request), limit=PER_ADDRESS, seconds=60)
        and limits.allow("sign-in-pair", f"{account}|{place}", limit=TRIES, seconds=SECONDS)
        and (
            known
            or limits.allow("sign-in-account", account, limit=TRIES_IN_ALL, seconds=SECONDS)
        )
    )  # fmt: skip


def admit_code(request: HttpRequest, account: str) -> bool:
    """The same for a code of the second factor."""
    place, known = _place(request, account)
    pair = f"{account}|{place}"
    if not limits.allow("code-pair", pair, limit=TRIES, seconds=SECONDS):
        return False
    if known:
        return limits.allow("code-known", pair, limit=CODES_WHERE_KNOWN, seconds=CODES_SECONDS)
    return limits.allow("code-account", account, limit=CODES_IN_ALL, seconds=CODES_SECONDS)


def succeeded(request: HttpRequest, account: str) -> None:
    """The password was right: the place's tries at it do not count any more."""
    _give_back(request, account, "sign-in-pair")


def code_succeeded(request: HttpRequest, account: str) -> None:
    """The code was right. Only the short count starts anew; the hourly ones go on, so that nobody
    gains tries by codes of their own in between."""
    _give_back(request, account, "code-pair")


def _give_back(request: HttpRequest, account: str, scope: str) -> None:
    place, _ = _place(request, account)
    LimitWindow.objects.filter(key=limits.key_of(scope, f"{account}|{place}")).delete()


def first_use(code: str, account: str) -> bool:
    """Whether this one-time code was not used before while it was good, by any process."""
    return limits.allow("code-used", f"{account}|{code}", limit=1, seconds=120)


def _place(request: HttpRequest, account: str) -> tuple[str, bool]:
    """Where the try comes from, and whether the account knows that place."""
    try:
        whose, browser = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=COOKIE_DAYS * 86400
        )
        if whose == links.digest(account.lower()):
            return str(browser), True
    except (signing.BadSignature, ValueError, TypeError):
        pass
    return limits.bucket(limits.address_of(request)), False


@receiver(user_logged_in)
def _remember(request: HttpRequest, response: HttpResponse, user: User, **_: Any) -> None:
    """Gives the browser of whoever signed in the cookie by which the account knows it."""
    account = str(user.email)
    if _place(request, account)[1]:
        return
    value = signing.dumps([links.digest(account.lower()), secrets.token_hex(8)], salt=_SALT)
    response.set_cookie(
        COOKIE,
        value,
        max_age=COOKIE_DAYS * 86400,
        path="/accounts/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
