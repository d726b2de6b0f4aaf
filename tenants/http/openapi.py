"""How the API is described as OpenAPI: what drf-spectacular cannot know of our views.

Two documents: the organisation's host (settings.TENANT_URLCONF) and the base domain
(settings.ROOT_URLCONF). Of a `TenantAPIView` the declaration `@requires` tells who may call it and
which refusals the door can answer; everything else stands in `@extend_schema` on the handler. Plain
Django views of the base domain are described with `@documented`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.utils import OpenApiParameter
from rest_framework.views import APIView

from tenants.http.openapi_parts import (
    LIST_HEADERS,
    LIST_PARAMETERS,
    SESSION,
    SESSION_WRITES,
    SIGNED_IN,
    TAGS,
    TOKEN_OR_SESSION,
    TOKEN_OR_SESSION_WRITES,
    about,
    error,
    shared_error,
)

ETAG: Final = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="Tag of what was answered; send it back as If-Match to change just this.",
)
IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag that was read: if it was changed meanwhile, 412 and no change.",
)

# On a handler's extensions: API tokens are refused there, whatever their scopes.
SESSION_ONLY: Final = {"x-session-only": True}

_View = TypeVar("_View", bound=Callable[..., Any])
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


def listed(*, ordering: Iterable[str] = (), **filters: str) -> list[OpenApiParameter]:
    """Parameters of a list beside limit and offset: names to order by, and filters with a
    description each."""
    names = sorted(ordering)
    both = [name for each in names for name in (each, f"-{each}")]
    found = [OpenApiParameter(name, str, description=text) for name, text in filters.items()]
    if both:
        found.append(
            OpenApiParameter(
                "ordering", str, enum=both, description="A field; `-` before it turns it round."
            )
        )
    return found


def documented(*, by_contract: bool = True, **methods: Any) -> Callable[[_View], _View]:
    """Describes a plain Django view: `post=extend_schema(...)` for each method that it answers.

    Put it outermost. It changes nothing of how the view works.
    """

    def describe(view: _View) -> _View:
        handlers: dict[str, Any] = {"by_contract": by_contract, "__doc__": view.__doc__}
        for method, schema in methods.items():

            def handler(self: APIView) -> None:
                """Never called: it carries the description."""

            handler.__name__, handler.__doc__ = method, view.__doc__
            handlers[method] = schema(handler)
        name = getattr(view, "__name__", "view")
        view.documentation = type(f"{name}_documented", (APIView,), handlers)  # type: ignore[attr-defined]
        return view

    return describe


class Enumerator(EndpointEnumerator):
    """Finds views that `documented` describes as well."""

    def _get_api_endpoints(self, patterns: Any, prefix: str) -> list[Any]:
        parent: Any = super()  # untyped
        found: list[Any] = parent._get_api_endpoints(patterns, prefix)
        for pattern in (self.patterns if patterns is None else patterns) or ():
            described = getattr(getattr(pattern, "callback", None), "documentation", None)
            if described is not None:
                regex = prefix + str(pattern.pattern)
                callback = described.as_view()
                found += [
                    (parent.get_path_from_regex(regex), regex, method, callback)
                    for method in parent.get_allowed_methods(callback)
                ]
        return found


class Generator(SchemaGenerator):
    endpoint_inspector_cls = Enumerator


class OrganisationSchema(AutoSchema):
    """Of one operation. Who handles it is asked for `requirement` (tenants.door) and `by_contract`."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        if self._requirement is not None:
            self._say_what_it_takes(operation)
        _fill_in(operation["responses"], contract=bool(getattr(self.view, "by_contract", False)))
        return operation

    def get_tags(self) -> list[str]:
        for prefix, tag in TAGS:
            if self.path == prefix or self.path.startswith(f"{prefix}/"):
                return [tag]
        return ["Other"]

    def get_auth(self) -> list[dict[str, list[str]]]:
        writes = self.method in _WRITES
        if self._requirement is None:
            return SIGNED_IN if writes else SESSION
        return TOKEN_OR_SESSION_WRITES if writes else TOKEN_OR_SESSION

    @property
    def _requirement(self) -> Any:
        return getattr(getattr(self.view, self.method.lower()), "requirement", None)

    def _say_what_it_takes(self, operation: dict[str, Any]) -> None:
        required = self._requirement
        operation["x-required-permission"] = f"{required.action} {required.resource}"
        if required.capability:
            operation["x-required-capability"] = required.capability
        if operation.get("x-session-only"):
            operation["security"] = SESSION_WRITES if self.method in _WRITES else SESSION
        responses, parameters = operation["responses"], operation.setdefault("parameters", [])
        if self.method == "GET" and _is_array(responses.get("200", {})):
            known = {parameter["name"] for parameter in parameters}
            parameters += [p for p in LIST_PARAMETERS if p["name"] not in known]
            responses["200"].setdefault("headers", {}).update(LIST_HEADERS)
        for status in self._refusals(parameters, "requestBody" in operation):
            responses.setdefault(str(status), {"description": ""})
        if not parameters:
            del operation["parameters"]

    def _refusals(self, parameters: list[dict[str, Any]], has_body: bool) -> Iterator[int]:
        """Statuses that the door and the common parts can answer, beside what the handler does."""
        yield from (400, 401, 402, 403, 429, 503)
        if any(parameter["in"] == "path" for parameter in parameters):
            yield 404
        if any(parameter["name"] == "If-Match" for parameter in parameters):
            yield 412
        if has_body:
            yield from (413, 415)


def _is_array(answer: dict[str, Any]) -> bool:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    return bool(schema.get("type") == "array")


def _fill_in(responses: dict[str, Any], *, contract: bool) -> None:
    """Gives every error that says nothing of its own the common description and body."""
    for status in sorted(responses):  # and brings them in the order of their numbers
        answer = responses.pop(status)
        if status.startswith(("4", "5")) and not answer.get("content"):
            told = answer.get("description")
            answer = shared_error(int(status), contract=contract)
            if told and told != "No response body":
                answer = {**error(int(status), contract=contract), "description": told}
        responses[status] = answer


def document(urlconf: str, *, public_url: str = "") -> dict[str, Any]:
    """The OpenAPI document of one kind of host, as a dictionary.

    `public_url` is the base domain's address; without it the document names an example's, so that
    the one that is checked in is the same everywhere.
    """
    generator: Any = Generator  # untyped
    found: dict[str, Any] = generator(urlconf=urlconf).get_schema(request=None, public=True)
    about(found, urlconf, public_url or "https://pulse.example.com")
    return found


def as_yaml(urlconf: str, *, public_url: str = "") -> bytes:
    renderer: Any = OpenApiYamlRenderer()  # untyped
    return bytes(renderer.render(document(urlconf, public_url=public_url)))
