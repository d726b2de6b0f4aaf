"""Reads request bodies: their size is judged before a byte is read, their content before use."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, NoReturn

from django.http import HttpRequest

from tenants.http.problems import Problem

LIMIT = 64 * 1024  # hosted-contract section 5.4


def refuse_oversize(request: HttpRequest, *, limit: int = LIMIT) -> None:
    """Raises Problem 411, 400 or 413 by the headers alone.

    A chunked body has no announced length, and Django reads none of it: it is refused.
    """
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        raise Problem(411, "length_required", "Send a Content-Length.")
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if not (announced.isascii() and announced.isdigit()):
        raise Problem(400, "invalid_content_length", "Content-Length is not a number.")
    if len(announced) > 18 or int(announced) > limit:
        raise Problem(413, "body_too_large", "The body is too large.", f"At most {limit} bytes.")


def json_object(
    request: HttpRequest, *, limit: int = LIMIT, known: frozenset[str] | None = None
) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object.

    Raises Problem: 400 `invalid_json` for what does not parse; 400 `invalid_request` for JSON that
    is no object, for keys outside `known`, and for text that PostgreSQL cannot store; 415 for a
    multi-part form; 411, 400, 413 as `refuse_oversize` does.
    """
    refuse_oversize(request, limit=limit)
    if not int(request.META.get("CONTENT_LENGTH") or 0):
        return {}
    if request.content_type == "multipart/form-data":
        raise Problem(415, "unsupported_media_type", "Send application/json.")
    raw = request.body
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid_json", "The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise Problem(400, "invalid_request", "The body must be a JSON object.")
    if not _storable(body):
        raise Problem(400, "invalid_request", "The body holds characters that are no text.")
    if known is not None and (unknown := sorted(body.keys() - known)):
        raise Problem(
            400, "invalid_request", "The body has unknown fields.", ", ".join(unknown)[:200]
        )
    return body


def text(body: dict[str, Any], name: str, *, required: bool = False, longest: int = 1000) -> str:
    """A trimmed text field. Raises Problem 400 `invalid_request` when it is something else."""
    value = body.get(name)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise Problem(400, "invalid_request", f"{name} must be text.")
    value = value.strip()
    if required and not value:
        raise Problem(400, "invalid_request", f"{name} is missing.")
    if len(value) > longest:
        raise Problem(400, "invalid_request", f"{name} is longer than {longest} characters.")
    return value


def one_line(value: str, *, longest: int) -> str:
    """A form's text as one line that PostgreSQL can hold: blanks joined, control characters out."""
    printable = "".join(c for c in " ".join(value.split()) if unicodedata.category(c) != "Cc")
    return printable[:longest].strip()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _storable(value: Any) -> bool:
    """False for NUL and lone surrogates: JSON can spell them, PostgreSQL cannot hold them."""
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(_storable(k) and _storable(v) for k, v in value.items())
    if isinstance(value, list):
        return all(_storable(v) for v in value)
    return True
