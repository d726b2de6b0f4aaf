"""What a product's own doors say about its health."""

from __future__ import annotations

from typing import Any

import httpx

from tests.product import Product


def readiness(product: Product) -> tuple[int, dict[str, str]]:
    """(status, {fact: detail}) of web's /readyz, warnings included; 0 while nothing answers."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{product.web[1]}/readyz", timeout=20)
    except httpx.TransportError:
        return 0, {}
    body: dict[str, Any] = answer.json()
    facts = [*body["blocking"], *body.get("warnings", [])]
    return answer.status_code, {each["fact"]: each["detail"] for each in facts}


def ready(product: Product) -> bool:
    return readiness(product)[0] == 200
