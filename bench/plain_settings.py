"""The product's settings without tenancy, roles and limits: what bench.tenant_get compares with.

One organisation's schema is the search path of every connection, and nothing ever switches. What is
left is what any Django REST framework application has: the same server, sessions, tokens,
middleware, database and view.
"""

import os

from pulsecloud.settings import *  # noqa: F403
from pulsecloud.settings import DATABASES, MIDDLEWARE

_OURS = ("tenants.request_limits.AddressLimitMiddleware", "tenants.hosts.HostMiddleware",
         "tenants.hosts.SessionHostMiddleware")  # fmt: skip
MIDDLEWARE = [name for name in MIDDLEWARE if name not in _OURS]
ROOT_URLCONF = "bench.plain_urls"
DATABASES["default"] |= {
    "ENGINE": "django.db.backends.postgresql",
    "OPTIONS": {"options": f'-c search_path="{os.environ["BENCH_SCHEMA"]}",public'},
}
