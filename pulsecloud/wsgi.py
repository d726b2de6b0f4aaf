"""The web process: admin, pages and API over WSGI (gunicorn runs this)."""

import os
from typing import Any

import django
from django.core.exceptions import TooManyFieldsSent
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pulsecloud.settings")


class Request(WSGIRequest):
    """When a body names its charset, Django reads the query before any middleware runs. A query of
    too many fields would fail there with 500; so it is left to `tenants.hosts`, which refuses it."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # not in the stubs
        except TooManyFieldsSent:
            return


class Handler(WSGIHandler):
    request_class = Request


django.setup(set_prefix=False)
application = Handler()
