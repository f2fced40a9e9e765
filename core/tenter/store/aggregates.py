"""Host aggregates, and the availability zones that they make.

An aggregate whose metadata has the key ``availability_zone`` puts its hosts into that zone. A host may be in many
aggregates, but not in two of different zones. All changes come one after the other (``counters.bump``), so that this
rule is checked in the transaction that could break it.
"""

from __future__ import annotations

import contextlib
import uuid as uuidlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import orjson
import sqlalchemy as sa
from oslo_db import exception as db_exception

from tenter import errors
from tenter.contracts.scheduling import Aggregate
from tenter.store import counters
from tenter.store.api_schema import aggregate_hosts, aggregates
from tenter.store.engine import Database, now
from tenter.store.prepared import Prepared

ZONE = "availability_zone"
"""The key of an aggregate's metadata that makes a zone."""

T = TypeVar("T")


@dataclass(frozen=True)
class HostAggregate:
    """An aggregate as it is stored; its hosts by name, times in seconds since the epoch."""

    id: int
    uuid: str
    name: str
    metadata: Mapping[str, str]
    hosts: tuple[str, ...]
    created_at: float
    updated_at: float | None

    @property
    def zone(self) -> str | None:
        """The zone that it puts its hosts into, if it does."""
        return self.metadata.get(ZONE)


class Move(NamedTuple):
    """A host that comes into another zone. None is the zone of its own configuration."""

    host: str
    before: str | None
    after: str | None


MayMove = Callable[[Sequence[Move]], None]
"""Raises an error if hosts may not come into another zone now. Called outside of transactions."""


class _Unasked(Exception):
    """Takes a change back whose moves nobody has allowed yet."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self.moves = moves


# JSON stays text: it is the same in each row of an aggregate, and parsed once.
_METADATA = sa.type_coerce(aggregates.c.metadata, sa.Text).label("metadata_text")
_KNOWN = Prepared(sa.select(aggregates.c.id, aggregates.c.name, _METADATA))
_MEMBERS = Prepared(
    sa.select(aggregate_hosts.c.aggregate_id, aggregate_hosts.c.host).order_by(aggregate_hosts.c.aggregate_id)
)
_TRIES = 5
_HOSTS = sa.select(aggregate_hosts.c.host, aggregates.c.id, _METADATA).join(
    aggregates, aggregates.c.id == aggregate_hosts.c.aggregate_id
)


def list_aggregates(db: Database) -> list[HostAggregate]:
    """Return all aggregates by id."""
    with db.read() as connection:
        return _rows(connection)


def get_aggregate(db: Database, key: int) -> HostAggregate:
    """Return an aggregate. Raises NotFound."""
    with db.read() as connection:
        return _get(connection, key)


def by_host(db: Database) -> tuple[dict[str, tuple[Aggregate, ...]], int]:
    """Return the aggregates of every host that is in one, by their ids, and the number of changes so far (``number``):
    the answer holds at least those."""
    with db.read() as connection:
        count, known, members = _snapshot(connection)
    of = {key: Aggregate(key, name, orjson.loads(text)) for key, name, text in known}
    found: dict[str, list[Aggregate]] = {}
    for key, host in members:
        if key in of:
            found.setdefault(host, []).append(of[key])
    shared: dict[tuple[int, ...], tuple[Aggregate, ...]] = {}
    return {host: shared.setdefault(tuple(one.id for one in held), tuple(held)) for host, held in found.items()}, count


def number(db: Database) -> int:
    """Return how often anything about aggregates was changed: while it is the same, ``by_host`` is, too."""
    with db.read() as connection:
        return counters.number(connection, counters.AGGREGATES)


def zones(db: Database) -> dict[str, str]:
    """Return the zones that aggregates give, by host; any other host is in the zone of its own configuration."""
    with db.read() as connection:
        _, known, members = _snapshot(connection)
    of = {key: zone for key, _, text in known if (zone := orjson.loads(text).get(ZONE)) is not None}
    return {host: of[key] for key, host in members if key in of}


def create_aggregate(db: Database, name: str, zone: str | None = None) -> HostAggregate:
    """Write an aggregate and return it. Raises Conflict if there is one of that name."""
    values = {
        "uuid": str(uuidlib.uuid4()), "name": name, "metadata": {} if zone is None else {ZONE: zone},
        "created_at": now(), "updated_at": None,
    }  # fmt: skip

    def create(connection: sa.Connection) -> HostAggregate:
        key = connection.execute(sa.insert(aggregates).values(**values)).inserted_primary_key
        assert key is not None
        return _get(connection, key[0])

    with _named(name):
        return _change(db, create)


def update_aggregate(
    db: Database, key: int, may_move: MayMove, name: str | None = None, zone: str | None = None
) -> HostAggregate:
    """Give an aggregate another name or zone and return it.

    Raises NotFound, Conflict if the name is taken, Invalid if a host of it is in another zone already, and what
    ``may_move`` raises.
    """

    def update(connection: sa.Connection, moves: list[Move]) -> HostAggregate:
        found = _get(connection, key)
        wanted = dict(found.metadata) if zone is None else {**found.metadata, ZONE: zone}
        moves += _moves(connection, found, zone or found.zone)
        _write(connection, key, name=name or found.name, metadata=wanted)
        return _get(connection, key)

    with _named(name):
        return _change_zones(db, update, may_move)


def set_metadata(db: Database, key: int, changes: Mapping[str, str | None], may_move: MayMove) -> HostAggregate:
    """Give keys of an aggregate's metadata other values, remove those with None, and return the aggregate.

    Raises NotFound, Invalid if a host of it is in another zone already, and what ``may_move`` raises.
    """

    def update(connection: sa.Connection, moves: list[Move]) -> HostAggregate:
        found = _get(connection, key)
        merged = {**found.metadata, **changes}
        wanted = {name: value for name, value in merged.items() if value is not None}
        moves += _moves(connection, found, wanted.get(ZONE))
        _write(connection, key, metadata=wanted)
        return _get(connection, key)

    return _change_zones(db, update, may_move)


def delete_aggregate(db: Database, key: int) -> None:
    """Delete an aggregate. Raises NotFound, Invalid if it has hosts."""

    def delete(connection: sa.Connection) -> None:
        if _get(connection, key).hosts:
            raise errors.Invalid(f"Cannot delete aggregate {key}: it has hosts; remove them first.")
        connection.execute(sa.delete(aggregates).where(aggregates.c.id == key))

    _change(db, delete)


def add_host(db: Database, key: int, host: str, may_move: MayMove) -> HostAggregate:
    """Put a host into an aggregate and return that.

    Raises NotFound for the aggregate, Conflict if the host is in it already or is in another zone, and what
    ``may_move`` raises. Whether there is such a host, the caller knows.
    """

    def add(connection: sa.Connection, moves: list[Move]) -> HostAggregate:
        found = _get(connection, key)
        if host in found.hosts:
            raise errors.Conflict(f"Aggregate {key} already has host {host}.")
        if found.zone is not None:
            elsewhere = _zones_elsewhere(connection, found, host)
            if elsewhere.get(host, found.zone) != found.zone:
                raise errors.Conflict(
                    f"Cannot add host {host} to aggregate {key}, whose availability zone is {found.zone!r}: it is in "
                    f"zone {elsewhere[host]!r} by another aggregate."
                )
            if host not in elsewhere:
                moves.append(Move(host, None, found.zone))
        connection.execute(sa.insert(aggregate_hosts).values(aggregate_id=key, host=host))
        return _get(connection, key)

    return _change_zones(db, add, may_move)


def remove_host(db: Database, key: int, host: str, may_move: MayMove) -> HostAggregate:
    """Take a host out of an aggregate and return that. Raises NotFound for either, and what ``may_move`` raises."""

    def remove(connection: sa.Connection, moves: list[Move]) -> HostAggregate:
        found = _get(connection, key)
        if host not in found.hosts:
            raise errors.NotFound(f"Aggregate {key} has no host {host}.")
        if found.zone is not None and host not in _zones_elsewhere(connection, found, host):
            moves.append(Move(host, found.zone, None))
        mine = sa.and_(aggregate_hosts.c.aggregate_id == key, aggregate_hosts.c.host == host)
        connection.execute(sa.delete(aggregate_hosts).where(mine))
        return _get(connection, key)

    return _change_zones(db, remove, may_move)


def forget_host(db: Database, host: str) -> None:
    """Take a host that is no more out of all aggregates."""
    its = sa.select(aggregate_hosts.c.host).where(aggregate_hosts.c.host == host).limit(1)
    with db.read() as connection:
        if connection.execute(its).first() is None:
            return
    _change(db, lambda connection: _forget(connection, host))


def rename_host(db: Database, earlier: str, host: str) -> None:
    """Let a host that has another name now be in the aggregates that it was in. What was in some by the new name is no
    more: two hosts never have one name."""

    def rename(connection: sa.Connection) -> None:
        its = sa.select(aggregate_hosts.c.host).where(aggregate_hosts.c.host == earlier).limit(1)
        if connection.execute(its).first() is not None:
            _forget(connection, host)
            mine = sa.update(aggregate_hosts).where(aggregate_hosts.c.host == earlier)
            connection.execute(mine.values(host=host))

    _change(db, rename)


def _change(db: Database, change: Callable[[sa.Connection], T]) -> T:
    with db.write() as connection:
        counters.bump(connection, counters.AGGREGATES)
        return change(connection)


def _change_zones(db: Database, change: Callable[[sa.Connection, list[Move]], T], may_move: MayMove) -> T:
    """Make a change that adds to a list what hosts it moves. It is taken back, and made again, until ``may_move`` was
    asked about all of them: that takes long, and nobody should wait for the lock meanwhile."""
    allowed: set[Move] = set()

    def checked(connection: sa.Connection) -> T:
        moves: list[Move] = []
        result = change(connection, moves)
        if not allowed.issuperset(moves):
            raise _Unasked(moves)
        return result

    while True:
        try:
            return _change(db, checked)
        except _Unasked as unasked:
            moves = unasked.moves
        may_move(moves)
        allowed.update(moves)


@contextlib.contextmanager
def _named(name: str | None) -> Iterator[None]:
    """Make of a name that is taken the error that says so."""
    try:
        yield
    except db_exception.DBDuplicateEntry as exc:
        raise errors.Conflict(f"Aggregate {name} already exists.") from exc


def _snapshot(connection: sa.Connection) -> tuple[int, Sequence[Any], Sequence[Any]]:
    """Return the number of changes, id, name and metadata (text) of all aggregates, and id and host of all members in
    the order of ids. A join would carry the same metadata a hundred thousand times; so it is read until nothing was
    changed meanwhile, or once more by who sees that the number is another."""
    for _ in range(_TRIES):
        count = counters.number(connection, counters.AGGREGATES)
        known = _KNOWN.rows(connection, {}).all()
        members = _MEMBERS.rows(connection, {}).all()
        if counters.number(connection, counters.AGGREGATES) == count:
            break
    return count, known, members


def _rows(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[HostAggregate]:
    query = sa.select(aggregates, _METADATA, aggregate_hosts.c.host)
    query = query.join(aggregate_hosts, aggregate_hosts.c.aggregate_id == aggregates.c.id, isouter=True)
    query = query.where(sa.true(), *conditions).order_by(aggregates.c.id, aggregate_hosts.c.host)
    found: dict[int, Any] = {}
    hosts: dict[int, list[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.id, row)
        hosts.setdefault(row.id, []).extend([] if row.host is None else [row.host])
    return [
        HostAggregate(
            key, row.uuid, row.name, orjson.loads(row.metadata_text), tuple(hosts[key]), row.created_at, row.updated_at
        )
        for key, row in found.items()
    ]


def _get(connection: sa.Connection, key: int) -> HostAggregate:
    found = _rows(connection, aggregates.c.id == key)
    if not found:
        raise errors.NotFound(f"Aggregate {key} could not be found.")
    return found[0]


def _write(connection: sa.Connection, key: int, **values: Any) -> None:
    connection.execute(sa.update(aggregates).where(aggregates.c.id == key).values(updated_at=now(), **values))


def _forget(connection: sa.Connection, host: str) -> None:
    connection.execute(sa.delete(aggregate_hosts).where(aggregate_hosts.c.host == host))


def _zoned(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[tuple[str, str]]:
    """Yield host and zone of those rows of ``_HOSTS`` whose aggregate has one."""
    known: dict[int, str | None] = {}
    for row in connection.execute(query):
        if row.id not in known:
            known[row.id] = orjson.loads(row.metadata_text).get(ZONE)
        zone = known[row.id]
        if zone is not None:
            yield row.host, zone


def _zones_elsewhere(connection: sa.Connection, of: HostAggregate, host: str | None = None) -> dict[str, str]:
    """Return the zones that other aggregates give to a host, by default to all hosts of the aggregate."""
    mine = sa.select(aggregate_hosts.c.host).where(aggregate_hosts.c.aggregate_id == of.id)
    among = aggregate_hosts.c.host.in_(mine) if host is None else aggregate_hosts.c.host == host
    return dict(_zoned(connection, _HOSTS.where(aggregates.c.id != of.id, among)))


def _moves(connection: sa.Connection, of: HostAggregate, zone: str | None) -> list[Move]:
    """Return what hosts come into another zone if the aggregate has this zone. Raises Invalid."""
    if zone == of.zone or not of.hosts:
        return []
    elsewhere = _zones_elsewhere(connection, of)
    if zone is not None:
        for host, other in sorted(elsewhere.items()):
            if other != zone:
                raise errors.Invalid(
                    f"Cannot give aggregate {of.id} the availability zone {zone!r}: its host {host} is in zone "
                    f"{other!r} by another aggregate."
                )
    return [Move(host, of.zone, zone) for host in of.hosts if host not in elsewhere]
