"""What the scheduler knows of a cell's hosts: read whole once, and then only what has changed (``host_changes``).

A reader keeps a :class:`Mark`, its position in the log. SQLite numbers the log's rows in the order in which they are
committed. Other databases number them before: a row may appear after one with a higher number. So a mark also holds
the numbers that were missing, which are looked for again for ``PATIENCE`` seconds; that of a transaction that was
rolled back never comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from tenter.contracts.scheduling import ImageUse
from tenter.store.cell_schema import compute_nodes, host_changes, instances, inventories, providers, services
from tenter.store.engine import Database, now
from tenter.store.host_changes import IO_TASKS
from tenter.store.prepared import Prepared

PATIENCE = 30.0
"""Seconds for which a number that is missing in the log is looked for; no transaction that logs takes as long."""
_WIDEST = 10_000
_AT_ONCE = 500
_ONE_BY_ONE = 8

_Row = Sequence[Any]
Condition = Callable[[sa.ColumnElement[str]], sa.ColumnElement[bool]]


class Stock(NamedTuple):
    """What a provider has of one resource class, as in the table ``inventories``."""

    total: int
    used: int
    reserved: int
    ratio: float
    capacity: int
    step_size: int
    min_unit: int
    max_unit: int


@dataclass(slots=True)
class Part:
    """A part of a node that has resources of its own. ``traits`` of equal parts are one object."""

    uuid: str
    parent_uuid: str
    name: str
    traits: frozenset[str]
    inventories: dict[str, Stock] = field(default_factory=dict)


@dataclass(slots=True)
class HostRecord:
    """All that is known of a node. Times in seconds since the epoch. ``cpu_info``, ``traits`` and ``metrics`` of nodes
    that have the same are one object within one feed, and not to be changed."""

    uuid: str
    host: str
    hypervisor_hostname: str
    availability_zone: str
    hypervisor_type: str
    hypervisor_version: int
    host_ip: str
    cpu_info: Mapping[str, Any]
    traits: frozenset[str]
    metrics: Mapping[str, float]
    failed_builds: int
    service_uuid: str
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    last_seen: float
    inventories: dict[str, Stock] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    instances: int = 0
    """Instances that are on it."""

    io_ops: int = 0
    """Instances on it whose task_state is one of ``host_changes.IO_TASKS``."""

    images: tuple[ImageUse, ...] = ()
    """What its instances were made of, if that was asked for. Equal properties are one object within one feed."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in a cell's log: the newest row seen (0, None: the log was empty), and the lower numbers that were
    missing, each with the time (monotonic clock) until when it is looked for."""

    seq: int = 0
    at: float | None = None
    missing: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feed:
    """Nodes as they are at ``mark`` or later, and the UUIDs of those that are no more."""

    mark: Mark
    hosts: list[HostRecord]
    gone: frozenset[str] = frozenset()


class _Queries(NamedTuple):
    nodes: sa.Select[Any]
    stocks: sa.Select[Any]
    parts: sa.Select[Any]
    counts: sa.Select[Any]


def _text(column: sa.Column[Any]) -> sa.ColumnElement[str]:
    return sa.type_coerce(column, sa.Text)


def _queries(of: Condition | None) -> _Queries:
    """Return the queries for the nodes that meet the condition, None: all."""
    c, s, i = compute_nodes.c, services.c, inventories.c
    nodes = sa.select(
        c.uuid, c.host, c.hypervisor_hostname, c.availability_zone, c.hypervisor_type, c.hypervisor_version, c.host_ip,
        _text(c.cpu_info), _text(c.traits), _text(c.metrics), c.failed_builds, s.uuid.label("service_uuid"), s.disabled,
        s.disabled_reason, s.forced_down, s.last_seen,
    ).join(services, s.uuid == c.service_uuid)  # fmt: skip
    stocks = sa.select(
        i.provider_uuid, i.resource_class, i.total, i.used, i.reserved, i.ratio, i.capacity, i.step_size, i.min_unit,
        i.max_unit,
    )  # fmt: skip
    p = providers.c
    parts = sa.select(p.node_uuid, p.uuid, p.parent_uuid, p.name, _text(p.traits)).order_by(p.name, p.uuid)
    on = instances.c
    counts = sa.select(on.node_uuid, on.task_state, sa.func.count().label("count")).group_by(
        on.node_uuid, on.task_state
    )
    if of is None:
        return _Queries(nodes, stocks, parts, counts.where(on.node_uuid.is_not(None)))
    of_parts = i.provider_uuid.in_(sa.select(p.uuid).where(of(p.node_uuid)))
    return _Queries(
        nodes.where(of(c.uuid)), stocks.where(sa.or_(of(i.provider_uuid), of_parts)), parts.where(of(p.node_uuid)),
        counts.where(of(on.node_uuid)),
    )  # fmt: skip


_ALL = [Prepared(query) for query in _queries(None)]
_ONE = [Prepared(query) for query in _queries(lambda column: column == sa.bindparam("p_uuid", type_=sa.String))]
_MANY = _queries(lambda column: column.in_(sa.bindparam("p_uuids", type_=sa.String, expanding=True)))
_IMAGES = sa.select(instances.c.node_uuid, _text(instances.c.image)).where(
    instances.c.node_uuid.is_not(None), instances.c.image.is_not(None)
)
_IMAGES_OF = Prepared(_IMAGES.where(instances.c.node_uuid == sa.bindparam("p_uuid", type_=sa.String)))
_IMAGES_OF_MANY = _IMAGES.where(instances.c.node_uuid.in_(sa.bindparam("p_uuids", type_=sa.String, expanding=True)))

_LOG = sa.select(host_changes.c.seq, host_changes.c.node_uuid, host_changes.c.at).order_by(host_changes.c.seq)
_FROM = host_changes.c.seq >= sa.bindparam("p_seq", type_=sa.BigInteger)
_SINCE = Prepared(_LOG.where(_FROM))
_SINCE_OR = _LOG.where(sa.or_(_FROM, host_changes.c.seq.in_(sa.bindparam("p_missing", expanding=True))))
_NEWEST = Prepared(sa.select(host_changes.c.seq, host_changes.c.at).order_by(host_changes.c.seq.desc()).limit(1))
_SETTLED = Prepared(
    sa.select(host_changes.c.seq)
    .where(host_changes.c.at <= sa.bindparam("p_at", type_=sa.Double))
    .order_by(host_changes.c.seq.desc())
    .limit(1)
)
_SIGNS = Prepared(
    sa.select(services.c.uuid, services.c.last_seen).where(
        services.c.last_seen >= sa.bindparam("p_since", type_=sa.Double)
    )
)


def read_all(db: Database, images: bool = False) -> Feed:
    """Return every node of a cell; with what its instances were made of, if ``images``. Nodes whose service is missing
    are left out. Raises Unavailable."""
    with db.read() as connection:
        # First the position: what changes while the nodes are read is read once more.
        mark = _mark(connection, db.sqlite)
        found = _records([query.tuples(connection, {}) for query in _ALL])
        if images:
            # Not all at once: a cell may have a million instances, each with a kilobyte of its image.
            _put_images(found, connection.execute(_IMAGES.execution_options(yield_per=_WIDEST)))
        return Feed(mark, found)


def read_since(db: Database, mark: Mark, images: bool = False) -> Feed | None:
    """Return the nodes that changed since the mark, which may be none. None: the log no longer reaches back so far, or
    is another one; then all must be read. Raises Unavailable."""
    with db.read() as connection:
        rows = _rows_since(connection, mark)
        if mark.at is not None:
            here = next((row for row in rows if row[0] == mark.seq), None)
            if here is None or here[2] != mark.at:
                return None
            if len(rows) == 1 and not mark.missing:
                return Feed(mark, [])
        return _read_changed(connection, mark, rows, db.sqlite, images)


def read_nodes(db: Database, uuids: Iterable[str]) -> list[HostRecord]:
    """Return some nodes of a cell as they are now; those that are no more are left out. Raises Unavailable."""
    with db.read() as connection:
        return _read_nodes(connection, sorted(set(uuids)))


def read_signs(db: Database, since: float) -> list[tuple[str, float]]:
    """Return UUID and last sign of life of the services that gave one at ``since`` (seconds since the epoch) or later.
    Raises Unavailable."""
    with db.read() as connection:
        return [(row[0], row[1]) for row in _SIGNS.tuples(connection, {"p_since": since})]


def _mark(connection: sa.Connection, in_order: bool) -> Mark:
    newest = _NEWEST.rows(connection, {}).first()
    if newest is None:
        return Mark()
    if in_order:
        return Mark(newest.seq, newest.at)
    # Below, all has come that will come. Of a young log even the first numbers may be missing.
    settled = _SETTLED.rows(connection, {"p_at": now() - PATIENCE}).scalar() or 0
    lowest = max(settled, newest.seq - _WIDEST)
    rows = _SINCE.tuples(connection, {"p_seq": lowest + 1})
    seq, at = rows[-1][0], rows[-1][2]
    return Mark(seq, at, _missing(lowest, seq, {row[0] for row in rows}))


def _missing(after: int, until: int, seen: set[int]) -> dict[int, float]:
    if until - after == len(seen):
        return {}
    late = time.monotonic() + PATIENCE
    return {seq: late for seq in range(after + 1, until) if seq not in seen}


def _rows_since(connection: sa.Connection, mark: Mark) -> Sequence[_Row]:
    if mark.missing:
        values = {"p_seq": mark.seq, "p_missing": sorted(mark.missing)}
        return connection.execute(_SINCE_OR, values).all()
    return _SINCE.tuples(connection, {"p_seq": mark.seq})


def _read_changed(
    connection: sa.Connection, mark: Mark, rows: Sequence[_Row], in_order: bool, images: bool
) -> Feed | None:
    new = [row for row in rows if row[0] != mark.seq]
    seq, at = (rows[-1][0], rows[-1][2]) if rows else (mark.seq, mark.at)
    seen = {row[0] for row in new}
    missing: dict[int, float] = {}
    if not in_order:
        if seq - mark.seq - len(seen) > _WIDEST:
            return None
        time_now = time.monotonic()
        missing = {number: late for number, late in mark.missing.items() if number not in seen and late > time_now}
        missing.update(_missing(mark.seq, seq, {number for number in seen if number > mark.seq}))
    elif mark.at is None and new and new[0][0] != 1:
        return None  # the first rows were removed already
    uuids = sorted({row[1] for row in new})
    hosts = _read_nodes(connection, uuids)
    if images:
        _read_images(connection, hosts)
    gone = frozenset(uuids) - {record.uuid for record in hosts}
    return Feed(Mark(seq, at, missing), hosts, gone)


def _read_nodes(connection: sa.Connection, uuids: Sequence[str]) -> list[HostRecord]:
    if len(uuids) <= _ONE_BY_ONE:
        found = []
        for uuid in uuids:
            found += _records([query.tuples(connection, {"p_uuid": uuid}) for query in _ONE])
        return found
    found = []
    for start in range(0, len(uuids), _AT_ONCE):
        values = {"p_uuids": list(uuids[start : start + _AT_ONCE])}
        found += _records([connection.execute(query, values).all() for query in _MANY])
    return found


def _read_images(connection: sa.Connection, records: Sequence[HostRecord]) -> None:
    uuids = [record.uuid for record in records]
    if len(uuids) <= _ONE_BY_ONE:
        _put_images(records, (row for uuid in uuids for row in _IMAGES_OF.tuples(connection, {"p_uuid": uuid})))
        return
    for start in range(0, len(uuids), _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        _put_images(some, connection.execute(_IMAGES_OF_MANY, {"p_uuids": uuids[start : start + _AT_ONCE]}))


def _put_images(records: Sequence[HostRecord], rows: Iterable[_Row]) -> None:
    """Write into the records what their instances were made of. A row is a node and the image of one instance there."""
    known: dict[str, int] = {}
    places: dict[bytes, int] = {}
    properties: list[Mapping[str, str]] = []
    of_node: dict[str, dict[int, int]] = {record.uuid: {} for record in records}
    for node_uuid, text in rows:
        counts = of_node.get(node_uuid)
        if counts is None:
            continue
        place = known.get(text)
        if place is None:
            found = orjson.loads(text).get("properties") or {}
            place = known[text] = places.setdefault(orjson.dumps(found, option=orjson.OPT_SORT_KEYS), len(properties))
            if place == len(properties):
                properties.append(found)
        counts[place] = counts.get(place, 0) + 1
    for record in records:
        record.images = tuple(ImageUse(properties[place], count) for place, count in of_node[record.uuid].items())


def _records(results: Sequence[Sequence[_Row]]) -> list[HostRecord]:
    nodes, stocks, parts, counts = results
    decoded: dict[str, Any] = {}
    sets: dict[str, frozenset[str]] = {}

    def decode(text: str | None) -> Any:
        if text is None:
            return _NOTHING
        if text not in decoded:
            decoded[text] = orjson.loads(text)
        return decoded[text]

    def as_set(text: str) -> frozenset[str]:
        if text not in sets:
            sets[text] = frozenset(orjson.loads(text))
        return sets[text]

    records = {
        row[0]: HostRecord(
            row[0], row[1], row[2], row[3], row[4], row[5], row[6], decode(row[7]), as_set(row[8]), decode(row[9]),
            row[10], row[11], bool(row[12]), row[13], bool(row[14]), row[15],
        )
        for row in nodes
    }  # fmt: skip
    owners: dict[str, HostRecord | Part] = {**records}
    for node_uuid, part in _parts(parts, as_set):
        if node_uuid in records:
            records[node_uuid].parts += (part,)
            owners[part.uuid] = part
    for row in stocks:
        owner = owners.get(row[0])
        if owner is not None:
            owner.inventories[row[1]] = Stock._make(row[2:])
    for node_uuid, task_state, count in counts:
        if node_uuid in records:
            records[node_uuid].instances += count
            if task_state in IO_TASKS:
                records[node_uuid].io_ops += count
    return list(records.values())


def _parts(rows: Iterable[_Row], as_set: Callable[[str], frozenset[str]]) -> Iterator[tuple[str, Part]]:
    for node_uuid, uuid, parent_uuid, name, traits in rows:
        yield node_uuid, Part(uuid, parent_uuid, name, as_set(traits))


_NOTHING: Mapping[str, float] = {}
