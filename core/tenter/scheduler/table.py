"""Host tables made of host views: for tests, kits, and a few hosts. The scheduler makes its own from rows."""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from tenter.contracts.scheduling import HostView, ImageUse, Resource
from tenter.contracts.table import Coded, HostTable, ImageColumns, ResourceColumns

T = TypeVar("T")
NOTHING = Resource(0, 0)
CODED = ("cell", "zone", "disabled_reason", "traits", "aggregates", "hypervisor")
PLAIN = ("enabled", "up", "failed_builds", "instances", "io_ops")
OF_CLASS = tuple(ResourceColumns.__dataclass_fields__)


def coded(values: Iterable[T], key: Callable[[T], Hashable] = lambda value: value) -> Coded[T]:
    """Return a column of values; those with equal keys are held once."""
    places: dict[Hashable, int] = {}
    distinct: list[T] = []
    codes = []
    for value in values:
        of = key(value)
        if of not in places:
            places[of] = len(distinct)
            distinct.append(value)
        codes.append(places[of])
    return Coded(np.array(codes, np.int32), distinct)


def resource_columns(resources: Sequence[Resource]) -> ResourceColumns:
    """Return the columns of one resource class, with a row for each of ``resources``."""

    def column(name: str, dtype: Any = np.int64) -> Any:
        return np.array([getattr(resource, name) for resource in resources], dtype)

    names = ("total", "used", "reserved", "capacity", "step_size", "min_unit", "max_unit")
    return ResourceColumns(ratio=column("ratio", np.float64), **{name: column(name) for name in names})


def altered(thing: T, **changes: Any) -> T:
    """Return a copy of a frozen dataclass with some fields changed, as ``dataclasses.replace`` does in ten times the
    time. What is computed from fields is not: ``free`` of resource columns is left out."""
    copy = object.__new__(type(thing))
    copy.__dict__.update(thing.__dict__, **changes)
    copy.__dict__.pop("free", None)
    return copy


def read_only(table: HostTable) -> HostTable:
    """Return the table; whoever writes to one of its arrays gets a ValueError."""
    images = table.images
    for array in (
        table.key, *(getattr(table, name) for name in PLAIN), *(getattr(table, name).codes for name in CODED),
        *(getattr(of, name) for of in table.resources.values() for name in OF_CLASS), *table.metrics.values(),
        *(() if images is None else (images.rows, images.codes, images.instances)),
    ):  # fmt: skip
        array.setflags(write=False)
    return table


def with_resource(columns: ResourceColumns, row: int, resource: Resource) -> ResourceColumns:
    """Return the columns with another resource in one row; those that stay as they are are not copied."""
    changed = {}
    for name in columns.__dataclass_fields__:
        value, column = getattr(resource, name), getattr(columns, name)
        if column[row] != value:
            column = np.array(column)
            column[row] = value
            changed[name] = column
    return replace(columns, **changed)


def image_columns(images: Sequence[Sequence[ImageUse]]) -> ImageColumns | None:
    """Return what the instances of each host were made of, as columns; None if nothing is known of any."""
    entries = [(row, use) for row, uses in enumerate(images) for use in uses]
    if not entries:
        return None
    properties = coded((use.properties for _, use in entries), key=lambda each: tuple(sorted(each.items())))
    rows = np.array([row for row, _ in entries], np.int32)
    return ImageColumns(
        rows, properties.codes, np.array([use.instances for _, use in entries], np.int32), properties.values
    )


def key_of(uuids: Iterable[str]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the two halves of each UUID."""
    whole = [uuidlib.UUID(uuid).int for uuid in uuids]
    return np.array([(number >> 64, number & (2**64 - 1)) for number in whole], np.uint64).reshape(-1, 2)


def table_of(views: Sequence[HostView]) -> HostTable:
    """Return the table whose rows are these hosts."""
    classes = sorted({name for view in views for name in view.resources})
    metrics = sorted({name for view in views for name in view.metrics})

    def array(name: str, dtype: Any) -> Any:
        return np.array([getattr(view, name) for view in views], dtype)

    return HostTable(
        key=key_of(view.provider_uuid for view in views),
        host=[view.host for view in views],
        node=[view.node for view in views],
        host_ip=[view.host_ip for view in views],
        cell=coded(view.cell for view in views),
        zone=coded(view.zone for view in views),
        disabled_reason=coded(view.disabled_reason for view in views),
        traits=coded(view.traits for view in views),
        aggregates=coded((view.aggregates for view in views), key=repr),
        hypervisor=coded((view.hypervisor for view in views), key=repr),
        enabled=array("enabled", np.bool_),
        up=array("up", np.bool_),
        failed_builds=array("failed_builds", np.int64),
        instances=array("instances", np.int64),
        io_ops=array("io_ops", np.int64),
        resources={name: resource_columns([view.resources.get(name, NOTHING) for view in views]) for name in classes},
        metrics={name: np.array([view.metrics.get(name, np.nan) for view in views], np.float64) for name in metrics},
        providers={row: view.providers for row, view in enumerate(views) if view.providers},
        images=image_columns([view.images for view in views]),
        of_parts={row: view.of_parts for row, view in enumerate(views) if view.of_parts},
    )
