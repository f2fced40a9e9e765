"""What listeners are told, and when: one function for each moment of a server's or a service's life.

They are called after what they tell was committed. Where nobody listens each costs one look at ``active``; none raises.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec

from tenter import objects
from tenter.contracts import hooks as events
from tenter.contracts.network import VIF
from tenter.operations.model import StepContext
from tenter.plugins.emitter import Emitter
from tenter.store import instances
from tenter.store.engine import now
from tenter.store.operations import Operation

LOG = logging.getLogger(__name__)
P = ParamSpec("P")
Server = Mapping[str, Any] | objects.Instance
"""A server: its row, or as an object."""


def _moment(
    events_of: Callable[Concatenate[Emitter, P], Iterable[events.Event]],
) -> Callable[Concatenate[Emitter, P], None]:
    """Make of a function that returns events one that emits them if somebody listens."""

    @functools.wraps(events_of)
    def tell(hooks: Emitter, *args: P.args, **kwargs: P.kwargs) -> None:
        if not hooks.active:
            return
        try:
            for event in events_of(hooks, *args, **kwargs):
                hooks.emit(event)
        except Exception:  # the operation that tells it goes on
            LOG.exception("Listeners cannot be told of %s", events_of.__name__)

    return tell


def server_of(context: StepContext) -> Server | None:
    """Return the server of an operation as it is now, for a moment that comes when it is changed or gone; None where
    nobody listens, or it cannot be read."""
    if not context.hooks.active:
        return None
    uuid = context.operation.instance_uuid
    try:
        if context.cell_uuid is not None:
            return instances.get(context.db, uuid)
        place = instances.place_of(context.db, uuid)
    except Exception as exc:
        LOG.warning("Listeners will not be told what becomes of %s: %s", uuid, exc)
        return None
    return None if place is None else place["record"]


def _row(server: Server) -> Mapping[str, Any]:
    return server.to_mapping() if isinstance(server, objects.Instance) else server


def _stamp(hooks: Emitter) -> dict[str, Any]:
    return {"at": now(), "host": hooks.host}


def _server(hooks: Emitter, row: Mapping[str, Any], request_id: str | None) -> dict[str, Any]:
    return {
        **_stamp(hooks), "instance_uuid": row["uuid"], "project_id": row["project_id"], "user_id": row["user_id"],
        "name": row["display_name"], "server_host": row["host"], "request_id": request_id,
    }  # fmt: skip


def _size(row: Mapping[str, Any]) -> dict[str, Any]:
    flavor = row["flavor"]
    return {
        "flavor": flavor["name"], "vcpus": flavor["vcpus"], "memory_mib": flavor["memory_mb"],
        "image_id": row["image_ref"],
    }  # fmt: skip


@_moment
def create_requested(hooks: Emitter, rows: Iterable[Mapping[str, Any]], request_id: str) -> Iterator[events.Event]:
    """Servers were recorded."""
    for row in rows:
        yield events.CreateRequested(**_server(hooks, row, request_id), **_size(row))


@_moment
def before_scheduling(
    hooks: Emitter, row: Mapping[str, Any], request_id: str, excluded: Iterable[str] = ()
) -> Iterator[events.Event]:
    """A host is about to be chosen."""
    nowhere = _server(hooks, {**row, "host": None}, request_id)
    yield events.BeforeScheduling(**nowhere, excluded_hosts=tuple(sorted(excluded)))


@_moment
def claimed(
    hooks: Emitter, row: Mapping[str, Any], request_id: str, position: Mapping[str, Any], resources: Mapping[str, int]
) -> Iterator[events.Event]:
    """A host was chosen and claimed; ``position`` has its columns of the server's row."""
    placed = _server(hooks, {**row, "host": position["host"]}, request_id)
    zone = position["availability_zone"]
    yield events.Claimed(**placed, node=position["node"], availability_zone=zone, resources=dict(resources))


@_moment
def network_allocated(
    hooks: Emitter, instance: objects.Instance, request_id: str | None, vifs: Iterable[VIF]
) -> Iterator[events.Event]:
    """A host has the ports of a server."""
    ports = tuple(
        events.Port(vif.id, vif.network_id, vif.mac, tuple(each.address for each in vif.fixed_ips)) for vif in vifs
    )
    yield events.NetworkAllocated(**_server(hooks, _row(instance), request_id), ports=ports)


@_moment
def spawned(hooks: Emitter, instance: objects.Instance, request_id: str, power_state: int) -> Iterator[events.Event]:
    """A new server's guest runs; ``instance`` is as it was before."""
    row = _row(instance)
    yield events.Spawned(**_server(hooks, row, request_id), **_size(row))
    yield from _state_changes(hooks, row, request_id, "active", power_state)


@_moment
def build_failed(
    hooks: Emitter, before: Server | None, operation: Operation, reason: str, final: bool
) -> Iterator[events.Event]:
    """A host, or the choice of one, failed a server that was as ``before``."""
    if before is None:
        return
    row = _row(before)
    on_host = _server(hooks, {**row, "host": operation.host}, operation.request_id)
    yield events.BuildFailed(**on_host, reason=reason, final=final)
    if final:
        yield from _state_changes(hooks, row, operation.request_id, "error", row["power_state"])


@_moment
def state_changed(
    hooks: Emitter, before: Server | None, request_id: str | None, vm_state: str, power_state: int | None = None
) -> Iterator[events.Event]:
    """A server that was as ``before`` has these states now; no ``power_state``: it has the same."""
    if before is not None:
        row = _row(before)
        power = row["power_state"] if power_state is None else power_state
        yield from _state_changes(hooks, row, request_id, vm_state, power)


def _state_changes(
    hooks: Emitter, row: Mapping[str, Any], request_id: str | None, vm_state: str, power_state: int
) -> Iterator[events.Event]:
    if (row["vm_state"], row["power_state"]) != (vm_state, power_state):
        yield events.StateChanged(
            **_server(hooks, row, request_id), old_vm_state=row["vm_state"], new_vm_state=vm_state,
            old_power_state=row["power_state"], new_power_state=power_state, task=row["task_state"],
        )  # fmt: skip


@_moment
def operation_ended(
    hooks: Emitter, operation: Operation, outcome: str, error: Mapping[str, Any] | None = None
) -> Iterator[events.Event]:
    """An operation has ended."""
    yield events.OperationEnded(
        **_stamp(hooks), operation_uuid=operation.uuid, operation=operation.kind,
        instance_uuid=operation.instance_uuid, outcome=outcome, reason=error["message"] if error else None,
        caller_project_id=operation.project_id, caller_user_id=operation.user_id, request_id=operation.request_id,
    )  # fmt: skip


@_moment
def delete_requested(
    hooks: Emitter, place: Mapping[str, Any], row: Mapping[str, Any] | None, request_id: str
) -> Iterator[events.Event]:
    """The delete of a server was recorded; ``row`` is None where its cell does not answer."""
    yield events.DeleteRequested(**_server(hooks, row or _unknown(place), request_id))


def _unknown(place: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**place, "uuid": place["instance_uuid"], "display_name": None, "host": None}


@_moment
def deleted(hooks: Emitter, before: Server | None, request_id: str) -> Iterator[events.Event]:
    """A server has gone."""
    if before is not None:
        yield events.Deleted(**_server(hooks, _row(before), request_id))


@_moment
def service_up(hooks: Emitter, role: str, host: str) -> Iterator[events.Event]:
    """A service takes work; ``role`` is that of its steps."""
    yield events.ServiceUp(**_stamp(hooks), binary=f"tenter-{role}", service_host=host)


@_moment
def service_down(hooks: Emitter, role: str, host: str, reason: str) -> Iterator[events.Event]:
    """A service takes no more work."""
    yield events.ServiceDown(**_stamp(hooks), binary=f"tenter-{role}", service_host=host, reason=reason)
