"""Entity tags of what is edited (RFC 9110 sections 8.8.3 and 13.1.1): no lost updates."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.http import HttpRequest
from django.utils.http import parse_etags
from rest_framework.response import Response

from tenants.http.problems import Problem


def of(body: Any) -> str:
    """The strong tag of a JSON body, quoted."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def tagged(body: Any, *, status: int = 200) -> Response:
    """An answer that carries its tag."""
    return Response(body, status=status, headers={"ETag": of(body)})


def require(request: HttpRequest, current: Any) -> None:
    """Raises Problem 412 `precondition_failed` when If-Match names other than `current`'s tag.

    Call it with the row locked. Without If-Match the last writer wins.
    """
    wanted = request.headers.get("If-Match")
    if wanted is not None and not {of(current), "*"} & set(parse_etags(wanted)):
        raise Problem(
            412, "precondition_failed", "It was changed meanwhile. Read it again, then decide."
        )
