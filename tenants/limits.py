"""Rate limits shared by all processes: one counter row per key and window.

Two neighbouring windows make a sliding one: the previous window counts with the share of it that
still lies within the last `seconds`. Honest weakness: that share is an estimate which takes the
calls of the previous window as evenly spread. Refused calls are not counted.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from tenants.models import LimitWindow

# One statement, so that processes cannot race: the row is written only while below the limit.
# The clock is PostgreSQL's: hosts need not agree on the time.
_COUNT = """
WITH now AS (SELECT extract(epoch FROM clock_timestamp())::float8 AS t),
     slot AS (SELECT floor(t / %(seconds)s) AS n, t / %(seconds)s - floor(t / %(seconds)s) AS gone
              FROM now),
     past AS (SELECT coalesce(sum(w.count), 0) * (1 - max(slot.gone)) AS weight
              FROM slot LEFT JOIN public.tenants_limitwindow w
                ON w.key = %(key)s AND w."window" = to_timestamp((slot.n - 1) * %(seconds)s))
INSERT INTO public.tenants_limitwindow AS w (key, "window", count)
SELECT %(key)s, to_timestamp(slot.n * %(seconds)s), 1 FROM slot, past
WHERE past.weight + 1 <= %(limit)s
ON CONFLICT (key, "window") DO UPDATE SET count = w.count + 1
WHERE w.count + 1 + (SELECT weight FROM past) <= %(limit)s
RETURNING count
"""


def allow(scope: str, subject: str, *, limit: int, seconds: int) -> bool:
    """Counts one call of `subject` in `scope`; False when it would be more than `limit`.

    Call it outside a transaction: inside one the count is rolled back with it, and other callers
    wait for it. IPv6 addresses count by their /64, which is what one customer gets.
    """
    key = key_of(scope, subject)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"key": key, "limit": limit, "seconds": seconds})
        return cursor.fetchone() is not None


def key_of(scope: str, subject: str) -> str:
    """What stands for a subject in the table: nobody reads addresses or mailboxes there."""
    text = f"{scope}\0{bucket(subject)}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()


def forget(*, older_than: timedelta = timedelta(days=2)) -> int:
    """Deletes windows that no limit looks at any more; returns how many."""
    return LimitWindow.objects.filter(window__lt=timezone.now() - older_than).delete()[0]


def address_of(request: HttpRequest) -> str:
    """Where a request came from: the right-most address that is not one of our proxies (F71).

    X-Forwarded-For is believed only as far as each hop that wrote it is in TRUSTED_PROXIES; a
    text that is no address ends the walk. Empty when the server knows no peer (a unix socket).
    """
    address = _normal(request.META.get("REMOTE_ADDR", "")) or ""
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while hops and address and _trusted(address):
        claimed = _normal(hops.pop())
        if claimed is None:
            break
        address = claimed
    return address


def _normal(text: str) -> str | None:
    """The usual form of an address, IPv4 also when it is mapped into IPv6; None when it is none."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _trusted(address: str) -> bool:
    parsed = ip_address(address)
    networks: list[IPv4Network | IPv6Network] = [
        ip_network(text, strict=False) for text in settings.TRUSTED_PROXIES
    ]
    return any(parsed in network for network in networks)


def bucket(subject: str) -> str:
    """What a subject is counted as: an IPv6 address as its /64, text without regard to case."""
    address = _normal(subject)
    if address is None:
        return subject.strip().lower()
    if ":" in address:
        return str(ip_network(f"{address.split('%')[0]}/64", strict=False))
    return address
