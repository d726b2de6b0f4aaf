"""Queries that every request runs, built once.

Django takes longer to put such a query together than PostgreSQL to answer it. A `Read` has Django
build the SQL the first time, from an ordinary queryset, and then runs that SQL with other values.
What comes back are ordinary model instances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators

from tenants.schemas import schema_told

_Row = TypeVar("_Row", bound=Model)


@dataclass(frozen=True)
class _Built:
    model: Any
    sql: str
    values: tuple[Any, ...]  # a keyword's name wrapped in _Slot where its value goes
    start: int
    end: int
    fields: list[str]
    converters: list[tuple[int, Any, Any]]
    related: list[Any]


@dataclass(frozen=True)
class _Slot:
    name: str


class Read(Generic[_Row]):
    """`Read(queryset_of, name=sample, …)`: `queryset_of(name=…)` is the query for given values.

    The samples are values of the right type that stand nowhere else in the query: where they turn
    up in its parameters, later values go. The query must not depend on the values in other ways
    (no `None`, no lists).
    """

    def __init__(self, queryset_of: Callable[..., QuerySet[_Row]], **samples: Any) -> None:
        self._queryset_of = queryset_of
        self._samples = samples
        self._built: _Built | None = None

    def first(self, **values: Any) -> _Row | None:
        """The first row, or None. Takes exactly the keywords that it was made with."""
        rows = self._rows(values, all_of_them=False)
        return rows[0] if rows else None

    def all(self, **values: Any) -> list[_Row]:
        return self._rows(values, all_of_them=True)

    def _rows(self, values: dict[str, Any], *, all_of_them: bool) -> list[_Row]:
        if values.keys() != self._samples.keys():
            raise TypeError(f"This read takes {', '.join(self._samples)}.")
        built = self._built
        if built is None:
            built = self._built = self._build()
        parameters = [values[v.name] if isinstance(v, _Slot) else v for v in built.values]
        with schema_told() as tell, connection.cursor() as cursor:
            cursor.execute(tell + built.sql, parameters)
            if tell:
                cursor.nextset()
            found = cursor.fetchall() if all_of_them else cursor.fetchmany(1)
        return [self._instance(built, list(row)) for row in found]

    def _instance(self, built: _Built, row: list[Any]) -> _Row:
        for position, convert, expression in built.converters:
            row[position] = convert(row[position], expression, connection)
        instance: _Row = built.model.from_db("default", built.fields, row[built.start : built.end])
        for populator in built.related:
            populator.populate(row, instance)
        return instance

    def _build(self) -> _Built:
        queryset = self._queryset_of(**self._samples)
        compiler = queryset.query.get_compiler("default")
        sql, parameters = compiler.as_sql()
        names = {repr(sample): name for name, sample in self._samples.items()}
        values = tuple(
            _Slot(names[repr(each)]) if repr(each) in names else each for each in parameters
        )
        if missing := set(self._samples) - {v.name for v in values if isinstance(v, _Slot)}:
            raise TypeError(f"The query does not show where {', '.join(missing)} goes.")
        info = compiler.klass_info
        positions = info["select_fields"]
        columns = [column for column, _, _ in compiler.select]
        converters = compiler.get_converters(columns)
        return _Built(
            model=queryset.model,
            sql=sql,
            values=values,
            start=positions[0],
            end=positions[-1] + 1,
            fields=[columns[position].target.attname for position in positions],
            converters=[
                (position, convert, expression)
                for position, (convert_each, expression) in converters.items()
                for convert in convert_each
            ],
            # The stubs are ahead of this Django.
            related=get_related_populators(info, compiler.select, "default"),  # type: ignore[call-arg]
        )
