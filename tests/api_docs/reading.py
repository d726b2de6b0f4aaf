"""The two OpenAPI documents, made from the code as it is, and what their making complained about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import yaml
from drf_spectacular.drainage import GENERATOR_STATS

from pulsecloud.api_docs import DOCUMENTS
from tenants.http.openapi import as_yaml

METHODS = ("get", "post", "put", "patch", "delete")


class Operation(NamedTuple):
    document: str
    method: str
    path: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.document}: {self.method.upper()} {self.path}"


@cache
def _made(name: str) -> tuple[str, tuple[str, ...]]:
    text = as_yaml(DOCUMENTS[name].urlconf).decode()
    complaints = {**GENERATOR_STATS._warn_cache, **GENERATOR_STATS._error_cache}
    return text, tuple(sorted(complaints))


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(_made(name)[0]), default=str))
    return found


def complaints(name: str) -> tuple[str, ...]:
    return _made(name)[1]


def operations() -> Iterator[Operation]:
    for name in DOCUMENTS:
        for path, methods in document(name)["paths"].items():
            for method in METHODS:
                if method in methods:
                    yield Operation(name, method, path, methods[method])
