"""From an instance's row to what the scheduler is asked for it."""

from __future__ import annotations

import functools
import uuid as uuidlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tenter import errors
from tenter.cells import Cell, Cells
from tenter.conf.pci import PciAlias
from tenter.contracts.scheduling import PlacementRequest
from tenter.operations import numa
from tenter.operations.asked import asked, flavor_amounts, image_traits
from tenter.operations.model import StepContext
from tenter.store import hosts, instances
from tenter.store.engine import Database

OTHER_HOSTS = ("same_host", "different_host")
"""The hints that name other instances, whose hosts matter."""


def amounts(flavor: Mapping[str, Any]) -> dict[str, int]:
    """Return what is asked of a host as a whole for a flavor, by resource class: its own amounts, unless ``resources:``
    of its extra specs says otherwise. Extra specs that are malformed say nothing; nobody may create from them."""
    try:
        return dict(asked({**flavor, "extra_specs": _of_amounts(flavor)}, {}).resources)
    except errors.Invalid:
        return {name: amount for name, amount in flavor_amounts(flavor).items() if amount}


def _of_amounts(flavor: Mapping[str, Any]) -> dict[str, str]:
    specs: Mapping[str, str] = flavor.get("extra_specs") or {}
    return {"group_policy": "none"} | {key: value for key, value in specs.items() if key.startswith("resources")}


def placement_request(
    row: Mapping[str, Any], excluded: frozenset[str] = frozenset(), aliases: Iterable[PciAlias] = (),
    hosts_of: Mapping[str, str] | None = None,
) -> PlacementRequest:  # fmt: skip
    """Return what the scheduler is asked for an instance's row. ``aliases`` are the PCI aliases of the configuration,
    ``hosts_of`` see :func:`hosts_of`. Raises Invalid for extra specs or image properties that are malformed."""
    flavor, properties = row["flavor"], (row["image"] or {}).get("properties") or {}
    wanted = asked(flavor, properties, aliases)
    return PlacementRequest(
        instance_uuid=row["uuid"],
        project_id=row["project_id"],
        resources=wanted.resources,
        zone=row["pinned_zone"],
        forced_host=row["spec"].get("forced_host"),
        forced_node=row["spec"].get("forced_node"),
        excluded_hosts=excluded,
        extra_specs=flavor.get("extra_specs") or {},
        image_properties=properties,
        hints=row["hints"] or {},
        flavor=flavor.get("name", ""),
        image_id=row["image_ref"],
        required_traits=wanted.required_traits,
        forbidden_traits=wanted.forbidden_traits,
        groups=wanted.groups,
        isolate=wanted.isolate,
        hosts_of=hosts_of or {},
    )


def refuse_image(connection: sa.Connection, row: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Refuse an image with which a server cannot be made anew where it is, for it goes to no other host then.

    Raises Invalid if the image is malformed or would change the guest's NUMA nodes, Conflict if the host lacks a trait
    that the image requires, or has one that it forbids. ``connection`` is to the server's cell.
    """
    required, forbidden = image_traits(properties)
    earlier = (row["image"] or {}).get("properties") or {}
    if numa.groups(row["flavor"], properties) != numa.groups(row["flavor"], earlier):
        raise errors.Invalid("An instance's NUMA topology cannot be changed as part of a rebuild, as the image would.")
    if not required and not forbidden:
        return
    there = hosts.traits_serving(connection, row["node_uuid"], row["uuid"])
    for what, traits in (("lacks", required - there), ("has", forbidden & there)):
        if traits:
            rule = "requires" if what == "lacks" else "forbids"
            why = f"its host {what} {', '.join(sorted(traits))}; the image {rule} that."
            raise errors.Conflict(f"Cannot 'rebuild' instance {row['uuid']}: {why}")


def imagined(
    flavor: Mapping[str, Any], project_id: str, properties: Mapping[str, Any] | None = None,
    image_ref: str | None = None, zone: str | None = None, spec: Mapping[str, Any] | None = None,
    hints: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return a row such as an instance would have that nobody asks for; ``spec`` may name a forced host and node."""
    return {
        "uuid": str(uuidlib.uuid4()), "project_id": project_id, "flavor": flavor, "pinned_zone": zone,
        "image": {"properties": properties or {}}, "image_ref": image_ref, "spec": spec or {}, "hints": hints or {},
    }  # fmt: skip


def request_of(
    context: StepContext, row: Mapping[str, Any], excluded: frozenset[str] = frozenset()
) -> PlacementRequest:
    """Return what the scheduler is asked for an instance's row by a step. Raises Invalid; Unavailable while a cell is
    away that has an instance which the hints name."""
    api_db = context.db if context.api_db is None else context.api_db
    known = hosts_of(api_db, context.cells, row["hints"] or {})
    return placement_request(row, excluded, context.conf.pci.alias, known)


def named_by(hints: Mapping[str, Any], hint: str) -> list[Any]:
    """Return what a hint names: its value, or each item if it is a list; nothing if it is not there."""
    value = hints.get(hint)
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def hosts_of(api_db: Database, cells: Cells, hints: Mapping[str, Any]) -> dict[str, str]:
    """Return the hosts of the instances that the hints name, by the instances' UUIDs, written as they are in the hints;
    those without a host are not there. Without such hints nothing is asked.

    Raises Unavailable if a cell that has one of them does not answer.
    """
    written: dict[str, str] = {}
    for each in (each for hint in OTHER_HOSTS for each in named_by(hints, hint)):
        uuid = instances.usual_uuid(each)
        if uuid is not None:
            written[each] = uuid
    if not written:
        return {}
    by_cell: dict[str, list[str]] = {}
    for uuid, place in instances.places_of(api_db, set(written.values())).items():
        if place["cell_uuid"] is not None:
            by_cell.setdefault(place["cell_uuid"], []).append(uuid)
    found: dict[str, str] = {}
    for cell_uuid, uuids in by_cell.items():
        found |= cells.ask_one(cell_uuid, functools.partial(_hosts_in, uuids=uuids))
    return {each: found[uuid] for each, uuid in written.items() if uuid in found}


def _hosts_in(cell: Cell, uuids: Sequence[str]) -> dict[str, str]:
    return instances.hosts_of(cell.db, uuids)
