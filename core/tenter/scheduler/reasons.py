"""Reasons by how many hosts were refused for them, in figures and words that anybody may see.

A figure may name a host, or another's instance: of words only those are shown that the request itself has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import Coded
from tenter.scheduler.sift import Each, Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ASKED = (
    "resources", "zone", "extra_specs", "image_properties", "hints", "flavor", "image_id", "required_traits",
    "forbidden_traits", "groups",
)  # fmt: skip
_MOST_SPREAD = 4
LEAST, MOST, FREE = "least", "most", "free"


def reasons(refusals: Sequence[Refusal], request: PlacementRequest) -> list[dict[str, Any]]:
    """Return why hosts were refused, what most were refused for first: ``filter``, ``code``, ``hosts`` and ``figures``.

    A figure is a number or what was asked; where it differs from host to host, ``least`` and ``most`` of it.
    """
    groups: dict[tuple[str, str], list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault((refusal.filter, refusal.code), []).append(refusal)
    said = frozenset(_words(getattr(request, name) for name in _ASKED)) if groups else frozenset()
    found = [
        {"filter": name, "code": code, "hosts": sum(len(one.rows) for one in group), "figures": _figures(group, said)}
        for (name, code), group in groups.items()
    ]
    return sorted(found, key=lambda reason: -reason["hosts"])


def in_words(reason: Mapping[str, Any], seen: int) -> str:
    """Return a reason in words: ``2 of 3 by ResourceFilter: ram.short (asked 100, at most 50 free)``."""
    words = f"{reason['hosts']} of {seen} by {reason['filter']}: {reason['code']}"
    figures = ", ".join(_figure_in_words(name, value) for name, value in reason["figures"].items())
    return words + (f" ({figures})" if figures else "")


def plain(value: Any) -> str:
    """Return a figure as it is written in a sentence: what stands in a list is separated by spaces."""
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _figure_in_words(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        low, high = _short(value[LEAST]), _short(value[MOST])
        return f"at most {high} free" if name == FREE else f"{name} {low} to {high}"
    if isinstance(value, list):
        return f"{name} {plain(value)}"
    return f"at most {_short(value)} free" if name == FREE else f"{name} {_short(value)}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _figures(group: Sequence[Refusal], said: Set[str]) -> dict[str, Any]:
    figures = {}
    for name in dict.fromkeys(name for one in group for name in one.figures):
        shown = _shown([one.figures[name] for one in group if name in one.figures], said)
        if shown is not None:
            figures[name] = shown
    return figures


def _shown(columns: Sequence[object], said: Set[str]) -> Any:
    values = [value for column in columns for value in _distinct(column)]
    numbers = [value for value in values if isinstance(value, (int, float)) and value == value]
    if numbers and len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        return low if low == high else {LEAST: low, MOST: high}
    words = {word for word in _words(values) if word in said}
    if not words or len(words) > _MOST_SPREAD:
        return None
    single = len(words) == 1 and all(isinstance(value, str) for value in values)
    return next(iter(words)) if single else sorted(words)


def _distinct(column: object) -> Sequence[Any]:
    """Return what stands for all figures of a column: of numbers the least and the most."""
    if isinstance(column, np.ndarray):
        return _ends(column)
    if isinstance(column, Coded):
        return [column.values[code] for code in np.unique(column.codes).tolist()]
    return column if isinstance(column, Each) else [column]


def _ends(column: NDArray[Any]) -> Sequence[Any]:
    if column.dtype.kind not in "biuf":
        return column.tolist()
    usable = column[~np.isnan(column)] if column.dtype.kind == "f" else column
    return [usable.min().item(), usable.max().item()] if len(usable) else []


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _words(value.keys())
        yield from _words(value.values())
    elif hasattr(value, "__dataclass_fields__"):
        yield from _words(vars(value).values())
    elif isinstance(value, Iterable) and not isinstance(value, (bytes, np.ndarray)):
        for one in value:
            yield from _words(one)
