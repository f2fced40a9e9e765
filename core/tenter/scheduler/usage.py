"""What a claim changes in a host table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tenter.contracts.fit import Fit, fit
from tenter.contracts.scheduling import PlacementRequest, Provider
from tenter.contracts.table import HostTable, ResourceColumns
from tenter.scheduler.images import one_more
from tenter.scheduler.table import with_resource

if TYPE_CHECKING:
    from tenter.contracts.table import IntArray


def claimed(table: HostTable, row: int, request: PlacementRequest) -> HostTable:
    """Return the table as it is once the request was claimed on a row."""
    found = fit(table.view(row), request)
    wanted = dict(found.wanted) if isinstance(found, Fit) else {table.uuid(row): request.resources}
    own = wanted.pop(table.uuid(row), {})
    resources = dict(table.resources)
    for name, amount in own.items():
        resources[name] = _more_used(resources[name], row, amount)
    changed = replace(
        table, resources=resources, instances=_plus(table.instances, row, 1), io_ops=_plus(table.io_ops, row, 1),
        images=table.images and one_more(table.images, row, request.image_properties),
    )  # fmt: skip
    return _parts_used(changed, row, wanted) if wanted else changed


def _parts_used(table: HostTable, row: int, wanted: Mapping[str, Mapping[str, int]]) -> HostTable:
    parts = tuple(_part_used(part, wanted.get(part.uuid, {})) for part in table.providers[row])
    resources = dict(table.resources)
    for name in table.of_parts.get(row, ()):
        most = max((part.resources[name] for part in parts if name in part.resources), key=lambda one: one.free)
        resources[name] = with_resource(resources[name], row, most)
    return replace(table, resources=resources, providers={**table.providers, row: parts})


def _part_used(part: Provider, amounts: Mapping[str, int]) -> Provider:
    resources = {
        name: replace(resource, used=resource.used + amounts.get(name, 0)) for name, resource in part.resources.items()
    }
    return replace(part, resources=resources) if amounts else part


def _more_used(columns: ResourceColumns, row: int, amount: int) -> ResourceColumns:
    return replace(columns, used=_plus(columns.used, row, amount))


def _plus(column: IntArray, row: int, amount: int) -> IntArray:
    changed = column.copy()
    changed[row] += amount
    return changed
