"""Which columns of the host table are kept only because a filter or a weigher needs them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from tenter.contracts.weigher import Weigher

if TYPE_CHECKING:
    from tenter.scheduler.sift import Filters
    from tenter.scheduler.weigh import Weighers

Needs = Callable[[Collection[str]], Collection[str]]
"""Returns which of ``table.ON_REQUEST`` are needed, where the metadata of aggregates has these keys."""


def nothing(keys: Collection[str]) -> Collection[str]:
    """Return that nothing is needed."""
    return ()


def needs_of(filters: Filters, weighers: Weighers) -> Needs:
    """Return what these filters need, and those weighers that count: everywhere, or where an aggregate says so."""
    always = frozenset(name for _, one in filters for name in one.needs)
    asking = [one for _, one in weighers if one.needs - always]
    if not asking:
        return lambda keys: always

    def needed(keys: Collection[str]) -> Collection[str]:
        return always.union(*(one.needs for one in asking if one.aggregate_multiplier in keys or _counts(one)))

    return needed


def _counts(weigher: Weigher) -> bool:
    try:
        return bool(weigher.multiplier())
    except Exception:
        return False  # the decision, which leaves it out, says why
