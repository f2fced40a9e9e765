"""Weighers over the host table, and the order that they give."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tenter.contracts.scheduling import Aggregate, PlacementRequest
from tenter.contracts.table import HostTable
from tenter.contracts.weigher import ColumnWeigher, HostWeigher, Weigher
from tenter.plugins.guard import said
from tenter.scheduler.watched import Progress

if TYPE_CHECKING:
    from tenter.contracts.table import FloatArray, IntArray

LOG = logging.getLogger(__name__)
Weighers = Sequence[tuple[str, Weigher]]
FIRST = 16
"""How many of the best are put in order at first; the others only if all of those lose their claims."""


@dataclass
class Weighed:
    """The weights of some rows of a table: the sum, and what each weigher gave to it."""

    total: FloatArray
    parts: dict[str, FloatArray] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


def weigh(
    table: HostTable, rows: IntArray, request: PlacementRequest, weighers: Weighers, progress: Progress,
    stalled: Mapping[str, str],
) -> Weighed:  # fmt: skip
    """Return the weights of ``rows``: each weigher's numbers scaled to 0…1, times its multiplier, added up.

    One that misbehaves, or is in ``stalled``, is left out.
    """
    weighed = Weighed(np.zeros(len(rows)))
    if len(rows) < 2:
        return weighed
    everything = len(rows) == len(table)
    for name, weigher in weighers:
        if name in stalled:
            weighed.troubles[name] = stalled[name]
            continue
        progress.enter(name)
        try:
            multiplier = _multiplier(weigher, table, rows)
            if multiplier is None:
                continue
            raw = _raw(weigher, table, rows, request, everything)
            if raw.strides == (0,):  # one value for all
                continue
            low, high = float(raw.min()), float(raw.max())
            if not math.isfinite(high - low):
                raise ValueError("a weight is not finite, or two are too far apart")
            if high > low:
                part: FloatArray = raw.astype(np.float64)
                part -= low
                part *= multiplier / (high - low)
                weighed.parts[name] = part
                weighed.total += part
        except BaseException as exc:
            LOG.exception("Weigher %s failed; it is left out of this decision", name)
            weighed.troubles[name] = said(exc)
    return weighed


def _raw(
    weigher: Weigher, table: HostTable, rows: IntArray, request: PlacementRequest, everything: bool
) -> FloatArray | IntArray:
    if isinstance(weigher, ColumnWeigher):
        column = weigher.weights(table, request)
        if column.shape != (len(table),):
            raise ValueError("it has not a weight for each host")
        return column if everything or column.strides == (0,) else column[rows]
    if isinstance(weigher, HostWeigher):
        view = table.view
        return np.array([float(weigher.weigh(view(row), request)) for row in rows.tolist()])
    raise TypeError(f"{type(weigher).__name__} is neither a HostWeigher nor a ColumnWeigher")


def _multiplier(weigher: Weigher, table: HostTable, rows: IntArray) -> float | FloatArray | None:
    """Return by how much a weigher counts, on each host where aggregates say so; None: nowhere."""
    of_all = float(weigher.multiplier())
    if not math.isfinite(of_all):
        raise ValueError("its multiplier is not finite")
    key = weigher.aggregate_multiplier
    if key and any(key in aggregate.metadata for held in table.aggregates.values for aggregate in held):
        found: FloatArray = table.aggregates.numbers(lambda held: _least(held, key, of_all))[rows]
        return found if found.any() else None
    return of_all or None


def _least(aggregates: Sequence[Aggregate], key: str, default: float) -> float:
    found = []
    for aggregate in aggregates:
        try:
            value = float(aggregate.metadata[key])
        except (KeyError, ValueError):
            continue
        if math.isfinite(value):
            found.append(value)
    return min(found, default=default)


def best_first(total: FloatArray, rng: np.random.Generator, subset: int) -> Iterator[int]:
    """Yield all places of ``total``, the greatest first, equal ones in random order; the first is taken at random of
    the best ``subset``."""
    first = _best(total, rng, subset)
    if subset > 1 and len(first) > 1:
        chosen = int(rng.integers(min(subset, len(first))))
        first.insert(0, first.pop(chosen))
    yield from first
    if len(first) < len(total):
        more = _best(total, rng, FIRST, known=first)
        yield from more
        first += more
    if len(first) < len(total):
        left = np.ones(len(total), np.bool_)
        left[first] = False
        rest = np.flatnonzero(left)
        yield from rest[np.lexsort((rng.random(len(rest)), -total[rest]))].tolist()


def _best(total: FloatArray, rng: np.random.Generator, count: int, known: Sequence[int] = ()) -> list[int]:
    """Return the places of the ``count`` greatest, in order, besides those that are ``known``; of those that are equal,
    random ones."""
    if known:
        left = np.ones(len(total), np.bool_)
        left[list(known)] = False
        rest = np.flatnonzero(left)
        return [int(rest[place]) for place in _best(total[rest], rng, count)]
    if len(total) <= count:
        return [int(place) for place in np.lexsort((rng.random(len(total)), -total))]
    if count == 1:
        equal = np.flatnonzero(total == total.max())
        return [int(equal[rng.integers(len(equal))])]
    least = np.partition(total, len(total) - count)[len(total) - count]
    above = np.flatnonzero(total > least)
    equal = np.flatnonzero(total == least)
    above = above[np.lexsort((rng.random(len(above)), -total[above]))]
    chosen = rng.choice(equal, count - len(above), replace=False)
    return [*above.tolist(), *chosen.tolist()]
