"""Statements that every boot runs, compiled once.

SQLAlchemy spends some 40 µs around each statement, SQLite itself 5. A prepared statement goes from its compiled form to
the driver directly where that is SQLite; on any other database, and for whatever is unusual, SQLAlchemy runs it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

Values = Mapping[str, Any]
_Convert = Callable[[Any], Any]


class _Compiled:
    """A statement's text for SQLite, and how values go in."""

    def __init__(self, statement: Any, names: Sequence[str], dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names) if statement.is_dml else None)
        # Defaults that Python computes are SQLAlchemy's business.
        self.usable = not (statement.is_dml and (compiled.insert_prefetch or compiled.update_prefetch))
        if not self.usable:
            return
        given = set(names)
        state = compiled.construct_expanded_state(dict.fromkeys(names))
        self.sql: str = state.statement
        self._places: list[tuple[str | None, Any]] = []
        for name in state.positiontup or ():
            convert = state.processors.get(name)
            if name in given:
                self._places.append((name, convert))
            else:
                constant = state.parameters[name]
                self._places.append((None, convert(constant) if convert else constant))

    def bind(self, values: Values) -> list[Any]:
        """Return the values in the order of their places."""
        bound = []
        for name, convert in self._places:
            if name is None:
                bound.append(convert)
            else:
                value = values[name]
                bound.append(convert(value) if convert else value)
        return bound


class Prepared:
    """One statement; its parameters are columns, or names that begin with ``p_``."""

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self._compiled: dict[tuple[str, ...], _Compiled] = {}
        self._converts: list[tuple[int, _Convert]] | None = None
        self._shape: SimpleResultMetaData | None = None

    def rows(self, connection: sa.Connection, values: Values) -> sa.Result[Any]:
        """Run a query and return its rows."""
        found = self._fetch(connection, values)
        if found is None:
            return connection.execute(self.statement, values)
        assert self._shape is not None
        return IteratorResult(self._shape, iter(found))

    def tuples(self, connection: sa.Connection, values: Values) -> Sequence[tuple[Any, ...]]:
        """Run a query and return its rows as tuples: for many rows, of which making SQLAlchemy's takes longest."""
        found = self._fetch(connection, values)
        return connection.execute(self.statement, values).all() if found is None else found

    def _fetch(self, connection: sa.Connection, values: Values) -> list[tuple[Any, ...]] | None:
        compiled = self._for(connection, values)
        if compiled is None:
            return None
        try:
            found = _driver(connection).execute(compiled.sql, compiled.bind(values)).fetchall()
        except sqlite3.Error:
            # It fails with SQLAlchemy again, and comes as the error that callers know.
            return None
        return self._converted(found)

    def change(self, connection: sa.Connection, values: Values) -> int:
        """Run an INSERT, UPDATE or DELETE and return how many rows it met."""
        compiled = self._for(connection, values)
        if compiled is not None:
            try:
                return int(_driver(connection).execute(compiled.sql, compiled.bind(values)).rowcount)
            except sqlite3.Error:
                pass
        return int(connection.execute(self.statement, values).rowcount)

    def change_all(self, connection: sa.Connection, many: Sequence[Values]) -> None:
        """Run it once for each of ``many``, all of the same names."""
        if connection.dialect.name == "sqlite":
            for values in many:
                self.change(connection, values)
        elif many:
            connection.execute(self.statement, many)

    def _converted(self, found: list[Any]) -> list[Any]:
        if not self._converts:
            return found
        rows = []
        for row in found:
            cells = list(row)
            for index, convert in self._converts:
                cells[index] = convert(cells[index])
            rows.append(tuple(cells))
        return rows

    def _for(self, connection: sa.Connection, values: Values) -> _Compiled | None:
        if connection.dialect.name != "sqlite":
            return None
        names = tuple(values)
        compiled = self._compiled.get(names)
        if compiled is None:
            compiled = _Compiled(self.statement, names, connection.dialect)
            if not self.statement.is_dml and self._shape is None:
                self._describe(connection.dialect)
            self._compiled[names] = compiled
        return compiled if compiled.usable else None

    def _describe(self, dialect: sa.Dialect) -> None:
        columns = self.statement.selected_columns
        converts = []
        for index, column in enumerate(columns):
            convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if convert is not None:
                converts.append((index, convert))
        self._converts = converts
        self._shape = SimpleResultMetaData([column.key for column in columns])


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.dbapi_connection
