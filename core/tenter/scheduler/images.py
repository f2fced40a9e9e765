"""What the instances of hosts were made of: columns that are kept only where somebody needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tenter.contracts.scheduling import ImageUse
from tenter.contracts.table import ImageColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tenter.scheduler.rows import Codes

Uses = Mapping[int, Sequence[ImageUse]]
"""What the instances of some rows were made of, by row."""


def _array(numbers: Sequence[int]) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)


def columns_of(codes: Codes, uses: Uses) -> ImageColumns:
    """Return the columns of these rows."""
    known: dict[int, int] = {}
    rows, found, instances = [], [], []
    for row, of_row in uses.items():
        for use in of_row:
            # Equal properties are mostly one object: their key is made once.
            code = known.get(id(use.properties))
            if code is None:
                code = known[id(use.properties)] = codes.code(use.properties)
            rows.append(row)
            found.append(code)
            instances.append(use.instances)
    return ImageColumns(_array(rows), _array(found), _array(instances), codes.values)


def joined(codes: Codes, first: ImageColumns | None, second: ImageColumns | None, after: int) -> ImageColumns | None:
    """Return the columns of both, the rows of ``second`` numbered from ``after``; None if neither is known."""
    if first is None and second is None:
        return None
    nothing = ImageColumns(_array([]), _array([]), _array([]), [])
    first, second = first or nothing, second or nothing
    translated = _array([codes.code(value) for value in second.values])
    return ImageColumns(
        np.concatenate((first.rows, second.rows + np.int32(after))),
        np.concatenate((first.codes, translated[second.codes])),
        np.concatenate((first.instances, second.instances)),
        codes.values,
    )


def changed(images: ImageColumns, codes: Codes, uses: Uses, length: int) -> ImageColumns:
    """Return the columns of a table of ``length`` with other uses of some rows. As many entries as can stay where they
    are, so that a record of the table differs in little from one made before."""
    touched = np.zeros(length, np.bool_)
    touched[list(uses)] = True
    old = np.flatnonzero(touched[images.rows])
    new = columns_of(codes, uses)
    if _entries(images, old) == _entries(new, slice(None)):
        return images
    here, there = (len(old), len(new.rows))
    at = np.concatenate((old[:there], np.arange(len(images.rows), len(images.rows) + max(0, there - here))))
    # Places that are left over are filled from the end.
    left = np.zeros(len(images.rows), np.bool_)
    left[old[there:]] = True
    stay = len(images.rows) - int(np.count_nonzero(left))
    holes, moved = np.flatnonzero(left[:stay]), stay + np.flatnonzero(~left[stay:])

    def column(name: str) -> NDArray[np.int32]:
        values = np.concatenate((getattr(images, name), np.zeros(max(0, there - here), np.int32)))
        values[at] = getattr(new, name)
        values[holes] = values[moved]
        return values[: stay + max(0, there - here)]

    return ImageColumns(column("rows"), column("codes"), column("instances"), codes.values)


def _entries(images: ImageColumns, at: Any) -> list[tuple[int, int, int]]:
    return sorted(zip(*(column[at].tolist() for column in (images.rows, images.codes, images.instances)), strict=True))


def one_more(images: ImageColumns, row: int, properties: Mapping[str, str]) -> ImageColumns:
    """Return the columns with one more instance of an image on a row."""
    values = images.values
    code = next((code for code, value in enumerate(values) if value == properties), len(values))
    entry = np.flatnonzero((images.rows == row) & (images.codes == code))
    if len(entry):
        instances = images.instances.copy()
        instances[entry[0]] += 1
        return ImageColumns(images.rows, images.codes, instances, values)
    return ImageColumns(
        np.append(images.rows, np.int32(row)),
        np.append(images.codes, np.int32(code)),
        np.append(images.instances, np.int32(1)),
        values if code < len(values) else [*values, properties],
    )
