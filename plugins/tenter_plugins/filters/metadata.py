"""Metadata of the aggregates that a host is in, put together as Nova does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenter.contracts.scheduling import Aggregate
from tenter.contracts.table import Coded, HostTable

Values = frozenset[str]
Key = Callable[[str], bool]


def merged(aggregates: Iterable[Aggregate], key: Key) -> Values:
    """Return the values under the keys that ``key`` accepts, of all the aggregates; one text may list several, with
    commas between."""
    return frozenset(
        part.strip()
        for aggregate in aggregates
        for name, text in aggregate.metadata.items()
        if key(name)
        for part in text.split(",")
    )


def column(table: HostTable, key: Key) -> Coded[Values] | None:
    """Return each host's values under some keys; None if no aggregate of any host has one."""
    found = [merged(aggregates, key) for aggregates in table.aggregates.values]
    return Coded(table.aggregates.codes, found) if any(found) else None


def listed(values: Coded[Values]) -> Coded[list[str]]:
    """Return the same column as figures."""
    return Coded(values.codes, [sorted(each) for each in values.values])
