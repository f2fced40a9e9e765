"""Reading instances wherever they are: projections over all cells and the places that are in no cell.

An instance is written to its cell before its place says so. Whoever reads places first and cells afterwards
may see an instance twice (then the cell knows better) but never misses one.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import orjson
import sqlalchemy as sa

from tenter import errors
from tenter.cells.cells import Cell, Cells
from tenter.cells.query import ServerQuery
from tenter.store import aggregates
from tenter.store.api_schema import operations, places
from tenter.store.cell_schema import compute_nodes, instances
from tenter.store.columns import Json
from tenter.store.engine import Database
from tenter.store.instances import DELETING, LOST, PLACED, UNSCHEDULED
from tenter.store.operations import OPEN
from tenter.store.prepared import Prepared

ALL_COLUMNS = tuple(column.name for column in instances.c)
USER_DATA = "user_data"
"""A column that may be asked for beside those of the table: base64 text, from the request that made the instance."""

_REPEATED = frozenset({"flavor", "image", "metadata", "tags", "hints", "security_groups"})

_NO_CELL = (UNSCHEDULED, LOST)
_LOOKS = 4
_MOVING_PAUSE = 0.02
_JSON_LISTS = ("tags", "security_groups", "network_info")


def _empty_value(column: sa.Column[Any]) -> Any:
    if column.nullable:
        return None
    if isinstance(column.type, Json):
        return [] if column.name in _JSON_LISTS else {}
    if isinstance(column.type, sa.String):
        return ""
    default = column.default
    return default.arg if isinstance(default, sa.ColumnDefault) else 0


_EMPTY = {column.name: _empty_value(column) for column in instances.c}


class _Descending:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)


class _Projection:
    """Some columns of the table ``instances`` as dicts. Equal JSON is read once; rows share it: do not change it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        found = [name for name in self.names if name != USER_DATA and isinstance(instances.c[name].type, Json)]
        self._repeated = [name for name in found if name in _REPEATED]
        self._own = [name for name in found if name not in _REPEATED]
        self._known: dict[str, Any] = {}

    def select(self) -> sa.Select[Any]:
        """Return the query of the columns, JSON as it is stored."""
        return _columns(self.names)

    def row(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return a row that the query found as a dict."""
        row = dict(zip(self.names, values, strict=True))
        known = self._known
        for name in self._repeated:
            text = row[name]
            if text is not None:
                value = known.get(text)
                if value is None:
                    value = known[text] = orjson.loads(text)
                row[name] = value
        for name in self._own:
            if row[name] is not None:
                row[name] = orjson.loads(row[name])
        if USER_DATA in row:
            row[USER_DATA] = _user_data_in(row[USER_DATA])
        return row


@functools.lru_cache(maxsize=256)
def _columns(names: tuple[str, ...]) -> sa.Select[Any]:
    return sa.select(*map(_column, names))


@functools.lru_cache(maxsize=256)
def _one_instance(names: tuple[str, ...]) -> Prepared:
    return Prepared(_columns(names).where(instances.c.uuid == sa.bindparam("key")))


def _column(name: str) -> sa.ColumnElement[Any]:
    column = instances.c["spec" if name == USER_DATA else name]
    return sa.type_coerce(column, sa.Text()).label(name) if isinstance(column.type, Json) else column


def _user_data_in(spec: str) -> str | None:
    # A spec is long and most have none, which can be seen without reading it.
    if spec.count('"user_data":') == spec.count('"user_data":null'):
        return None
    return _user_data(orjson.loads(spec))


def _user_data(spec: Mapping[str, Any]) -> str | None:
    request = spec.get("request") or {}
    user_data: str | None = request.get("tenter_object.data", {}).get("user_data")
    return user_data


class PartialRow(dict[str, Any]):
    """What the API database knows of an instance whose cell does not answer: ``uuid``, ``project_id``, ``user_id``,
    ``created_at``, and ``brief`` (flavor, image_ref and the zone that was asked for; None if it is not kept)."""


class ServerReader:
    """Lists and single instances, as plain dicts with the columns of the table ``instances`` as keys.

    A cell that does not answer in time is left out of lists; what is known of its instances elsewhere can be had too.
    """

    def __init__(self, api_db: Database, cells: Cells) -> None:
        self._api_db = api_db
        self._cells = cells

    def get(
        self, uuid: str, project_id: str | None = None, columns: Sequence[str] = ALL_COLUMNS, partial: bool = False
    ) -> dict[str, Any]:
        """Return one instance; with ``project_id`` only if it is of that project. Raises NotFound.

        If its cell does not answer: raises Unavailable, or with ``partial`` returns a PartialRow.
        """
        missing = errors.NotFound(f"Instance {uuid} could not be found.")
        for look in range(_LOOKS):
            if look:
                time.sleep(_MOVING_PAUSE)
            place = self._place(uuid)
            if place is None or (project_id is not None and place.project_id != project_id):
                raise missing
            if place.state in _NO_CELL:
                return _from_place(place)
            if place.state == PLACED:
                try:
                    row = self._cells.ask_one(place.cell_uuid, lambda cell: _get_in_cell(cell, uuid, columns))
                except errors.Unavailable:
                    if partial:
                        return _partial(place)
                    raise
                if row is not None:
                    return _going(row) if place.delete_wanted is not None else row
            # The place was read while the instance moved on or was being removed: look again.
        raise missing

    def project_of(self, uuid: str) -> str | None:
        """Return the project of an instance, wherever that is; None if there is no such instance."""
        place = self._place(uuid)
        return None if place is None else str(place.project_id)

    def refuse_deleted(self, uuid: str) -> None:
        """Raise Conflict if the instance's delete waits for its cell: there is nothing to ask again later for."""
        place = self._place(uuid)
        if place is not None and place.delete_wanted is not None:
            raise errors.Conflict(f"Instance {uuid} is in task_state {DELETING}.")

    def _place(self, uuid: str) -> Any:
        """Return the place of an instance, None if there is no such instance."""
        with self._api_db.read() as connection:
            return _PLACE.rows(connection, {"uuid": uuid}).one_or_none()

    def list(self, query: ServerQuery) -> Sequence[dict[str, Any]]:
        """Return one page. Raises Invalid if the marker is unknown, Unavailable if that is in a cell that is away."""
        if query.limit <= 0:
            return ()
        after = self._marker(query)
        key = _sort_key(query)
        unplaced = self._unplaced(query, key, after)
        wanted = self._delete_wanted()
        until = time.monotonic() + self._cells.asking.timeout
        cells = self._cells.all()
        latest = until if len(cells) > 1 else None

        def first(cell: Cell) -> Sequence[dict[str, Any]]:
            rows = itertools.islice(_in_cell(cell.db, query, after, latest), query.limit)
            return tuple(_going(row) if row["uuid"] in wanted else row for row in rows) if wanted else tuple(rows)

        answers = self._cells.ask(first, cells)
        sources = [*answers.found.values()]
        if answers.away and query.partial:
            sources.append(self._in_cells_away(query, answers.away))
        if not unplaced and len(sources) == 1:
            return sources[0]
        return _merged(unplaced, sources, key, query)

    def _delete_wanted(self) -> Set[str]:
        """Return the instances whose delete has still to reach their cell."""
        with self._api_db.read() as connection:
            return set(_DELETES.rows(connection, {}).scalars())

    def _in_cells_away(self, query: ServerQuery, cells: Sequence[str]) -> Sequence[dict[str, Any]]:
        """Return the first ``limit`` instances of cells that do not answer, in the default order."""
        select = sa.select(*_PLACE_COLUMNS).where(places.c.state == PLACED, places.c.cell_uuid.in_(cells))
        if query.project_id is not None:
            select = select.where(places.c.project_id == query.project_id)
        select = select.order_by(places.c.created_at.desc(), places.c.instance_uuid.desc()).limit(query.limit)
        with self._api_db.read() as connection:
            return [_partial(place) for place in connection.execute(select)]

    def _marker(self, query: ServerQuery) -> dict[str, Any] | None:
        if query.marker is None:
            return None
        try:
            return self.get(query.marker, query.project_id, tuple(sort.column for sort in query.order))
        except errors.NotFound:
            raise errors.Invalid(f"marker [{query.marker}] not found") from None

    def _unplaced(
        self, query: ServerQuery, key: Callable[[Mapping[str, Any]], Any], after: Mapping[str, Any] | None
    ) -> Sequence[dict[str, Any]]:
        """Return the first ``limit`` instances that are in no cell, in order."""
        select = sa.select(*_PLACE_COLUMNS).where(places.c.state.in_(_NO_CELL))
        if query.project_id is not None:
            select = select.where(places.c.project_id == query.project_id)
        with self._api_db.read() as connection:
            found = connection.execute(select).all()
        rows = [row for row in map(_from_place, found) if query.matches(row)]
        backwards = all(sort.descending for sort in query.order)
        rows.sort(key=key, reverse=backwards)
        if after is not None:
            start = key(after)
            rows = [row for row in rows if (key(row) < start if backwards else start < key(row))]
        return rows[: query.limit]

    def hosts(self) -> tuple[Sequence[tuple[str, str, str]], bool]:
        """Return host, node and availability zone of every compute node, and whether all cells have answered. A zone
        is that of the host's aggregates, else that of its configuration."""
        query = sa.select(compute_nodes.c.host, compute_nodes.c.hypervisor_hostname, compute_nodes.c.availability_zone)

        def nodes(cell: Cell) -> Sequence[tuple[str, str, str]]:
            with cell.db.read() as connection:
                return [(row[0], row[1], row[2]) for row in connection.execute(query)]

        answers = self._cells.ask(nodes)
        zones = aggregates.zones(self._api_db)
        known = [(host, node, zones.get(host, zone)) for found in answers.found.values() for host, node, zone in found]
        return known, not answers.away


def _get_in_cell(cell: Cell, uuid: str, columns: Sequence[str]) -> dict[str, Any] | None:
    projection = _Projection(("uuid", "project_id", *columns))
    with cell.db.read() as connection:
        row = _one_instance(projection.names).rows(connection, {"key": uuid}).one_or_none()
    return None if row is None else projection.row(row)


def _in_cell(
    db: Database, query: ServerQuery, after: Mapping[str, Any] | None, until: float | None
) -> Iterator[dict[str, Any]]:
    """Yield a cell's instances in order, a page of the table at a time; raise Unavailable ``until`` when (monotonic) it
    takes too long, for then nobody waits for them any more."""
    projection = _Projection(query.needed)
    select = _narrowed(projection.select(), query)
    undecided = [condition for condition in query.conditions if not condition.exact]
    size = query.limit
    while until is None or time.monotonic() < until:
        page = select if after is None else select.where(_follows(query, after))
        with db.read() as connection:
            rows = connection.execute(page.limit(size)).all()
        for values in rows:
            row = projection.row(values)
            if all(condition.matches(row) for condition in undecided):
                yield row
        if len(rows) < size:
            return
        after = projection.row(rows[-1])
        size = max(size, 500)
    raise errors.Unavailable("It takes too long to find these instances.")


def _merged(
    unplaced: Sequence[dict[str, Any]],
    sources: Sequence[Sequence[dict[str, Any]]],
    key: Callable[[Mapping[str, Any]], Any],
    query: ServerQuery,
) -> Sequence[dict[str, Any]]:
    """Return the first ``limit`` of rows that are each in order; what a cell says of an instance counts most."""
    backwards = all(sort.descending for sort in query.order)
    chosen: dict[str, dict[str, Any]] = {}
    placeless = {id(row) for row in unplaced}
    for row in heapq.merge(unplaced, *sources, key=key, reverse=backwards):
        if row["uuid"] in chosen:
            if id(row) in placeless or isinstance(row, PartialRow):
                continue
        elif len(chosen) == query.limit:
            break
        chosen[row["uuid"]] = row
    return tuple(chosen.values())


_PLACE_COLUMNS = (
    places.c.instance_uuid,
    places.c.project_id,
    places.c.user_id,
    places.c.state,
    places.c.cell_uuid,
    places.c.created_at,
    places.c.record,
    places.c.brief,
    places.c.delete_wanted,
)
_PLACE = Prepared(sa.select(*_PLACE_COLUMNS).where(places.c.instance_uuid == sa.bindparam("uuid")))


# The wish stands in the places too; here the open ones are few, and found by an index.
_DELETES = Prepared(
    sa.select(operations.c.instance_uuid).where(
        operations.c.state.in_(OPEN), operations.c.role == "conductor", operations.c.kind == "delete"
    )
)


def _going(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an instance as of one that is being deleted."""
    return {**row, "task_state": DELETING} if "task_state" in row else row


def _partial(place: Any) -> PartialRow:
    return PartialRow(
        uuid=place.instance_uuid, project_id=place.project_id, user_id=place.user_id, created_at=place.created_at,
        brief=place.brief,
    )  # fmt: skip


def _from_place(place: Any) -> dict[str, Any]:
    """Return the row of an instance that is in no cell: being scheduled, or failed for good."""
    row = {**_EMPTY, **(place.record or {})}
    row["uuid"], row["project_id"], row["user_id"] = place.instance_uuid, place.project_id, place.user_id
    row["created_at"] = place.created_at
    row["updated_at"] = row["updated_at"] or place.created_at
    row[USER_DATA] = _user_data(row["spec"])
    going = row["task_state"] == DELETING
    if place.state == LOST:
        row["vm_state"], row["task_state"] = "error", DELETING if going else None
    else:
        row["vm_state"], row["task_state"] = "building", DELETING if going else "scheduling"
    return row


def _sortable(column: str) -> sa.ColumnElement[Any]:
    """Return a column for ORDER BY. NULL sorts as the empty value, for databases put it elsewhere."""
    found = instances.c[column]
    if isinstance(found.type, sa.Boolean):
        return sa.cast(found, sa.Integer)
    return sa.func.coalesce(found, _no_value(column)) if found.nullable else found


def _no_value(column: str) -> Any:
    return "" if isinstance(instances.c[column].type, sa.String) else 0


def _value(row: Mapping[str, Any], column: str) -> Any:
    value = row[column]
    if isinstance(value, bool):
        return int(value)
    return _no_value(column) if value is None else value


def _sort_key(query: ServerQuery) -> Callable[[Mapping[str, Any]], Any]:
    order = query.order
    if len({sort.descending for sort in order}) == 1:
        names = [sort.column for sort in order]
        return lambda row: tuple(_value(row, name) for name in names)
    return lambda row: tuple(
        _Descending(_value(row, sort.column)) if sort.descending else _value(row, sort.column) for sort in order
    )


def _narrowed(select: sa.Select[Any], query: ServerQuery) -> sa.Select[Any]:
    if query.project_id is not None:
        select = select.where(instances.c.project_id == query.project_id)
    for condition in query.conditions:
        clause = condition.sql()
        if clause is not None:
            select = select.where(clause)
    return select.order_by(
        *(_sortable(sort.column).desc() if sort.descending else _sortable(sort.column).asc() for sort in query.order)
    )


def _follows(query: ServerQuery, after: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    """Return the condition that a row comes after another one in the query's order."""
    same: list[sa.ColumnElement[bool]] = []
    ways: list[sa.ColumnElement[bool]] = []
    for sort in query.order:
        column, value = _sortable(sort.column), _value(after, sort.column)
        ways.append(sa.and_(*same, column < value if sort.descending else column > value))
        same.append(column == value)
    first = query.order[0]
    column, value = _sortable(first.column), _value(after, first.column)
    # Says nothing new, but is what lets a database start inside the index.
    bound = column <= value if first.descending else column >= value
    return sa.and_(bound, sa.or_(*ways))
