"""A middleware with the classic hole (F15): answers kept by path, whoever they were for.

Only for the test that shows that the run finds such a hole; the product never loads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

KEPT_FOR = 0.05


class CachesByPath:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.kept: dict[str, tuple[float, HttpResponseBase]] = {}

    def __call__(self, request: HttpRequest) -> Any:
        at, answer = self.kept.get(request.path, (0.0, None))
        if answer is None or time.monotonic() - at > KEPT_FOR:
            answer = self.get_response(request)
            if answer.status_code == 200:
                self.kept[request.path] = (time.monotonic(), answer)
        return answer
