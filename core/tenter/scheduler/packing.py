"""Records of decisions and of host tables as bytes: a head of JSON, and arrays beside it.

The head stands for each array with a list ``[kind, …]``. Bytes are little-endian and say which format they are of, so
that a record can be read on another machine and by a later release.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from tenter import errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
_MAGIC = b"TP"
_FEW = 24
"""Arrays up to that many numbers stand in the head as they are."""

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_LIST, _SAME, _RAW, _STEPS, _BITS = range(5)
_WIDTHS = ((0xFF, "<u1"), (0xFFFF, "<u2"), (0xFFFFFFFF, "<u4"))


class Unreadable(errors.Conflict):
    """A record is damaged, or of a format that this release does not know."""


class Packer:
    """Collects arrays, and packs them with a head."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def numbers(self, values: NDArray[Any]) -> list[Any]:
        """Add integers, truth values or floats; return what stands for them in the head."""
        if values.dtype.kind == "f":
            return self._floats(values)
        if len(values) <= _FEW:
            return [_LIST, values.tolist()]
        if values.dtype == np.bool_:
            values = values.view(np.uint8)
        low, high = int(values.min()), int(values.max())
        if low == high:
            return [_SAME, low, len(values)]
        for most, kind in _WIDTHS:
            if high - low <= most:
                return [_RAW, kind, len(values), self._add((values - low).astype(kind)), low]
        return [_RAW, "<i8", len(values), self._add(values.astype("<i8")), 0]

    def rows(self, rows: NDArray[Any], length: int) -> list[Any]:
        """Add numbers of rows of a table of that length; return what stands for them in the head."""
        if len(rows) <= _FEW:
            return [_LIST, rows.tolist()]
        steps = np.diff(rows, prepend=0)
        if len(rows) * 8 > length and steps[1:].min() > 0:
            bits = np.zeros(length, np.bool_)
            bits[rows] = True
            return [_BITS, length, self._add(np.packbits(bits))]
        return [_STEPS, self.numbers(steps)]

    def raw(self, values: NDArray[Any], kind: str) -> list[Any]:
        """Add an array as it is; return what stands for it in the head."""
        return [_RAW, kind, values.size, self._add(values.astype(kind, copy=False)), 0]

    def packed(self, head: Mapping[str, Any]) -> bytes:
        """Return head and arrays as bytes. What is no JSON becomes text."""
        said = dumps(head)
        body = b"".join((len(said).to_bytes(4, "little"), said, *self._parts))
        return b"".join((_MAGIC, bytes((FORMAT,)), zlib.compress(body, 1)))

    def _floats(self, values: NDArray[Any]) -> list[Any]:
        if len(values) and np.isfinite(values[0]) and (values == values[0]).all():
            return [_SAME, float(values[0]), len(values)]
        return self.raw(values, "<f8")

    def _add(self, values: NDArray[Any]) -> int:
        found = values.tobytes()
        at, self._at = self._at, self._at + len(found)
        self._parts.append(found)
        return at


class Unpacked:
    """What ``Packer.packed`` made. Raises Unreadable."""

    def __init__(self, packed: bytes) -> None:
        if packed[:2] != _MAGIC or len(packed) < 4:
            raise Unreadable("The record of a decision is damaged: it does not begin as one.")
        if packed[2] != FORMAT:
            raise Unreadable(
                f"The record of a decision is of format {packed[2]}, this release reads format {FORMAT}: "
                "ask a release that is as new as the one which wrote it."
            )
        with understood():
            body = zlib.decompress(packed[3:])
            size = int.from_bytes(body[:4], "little")
            self.head: dict[str, Any] = orjson.loads(body[4 : 4 + size])
            self._arrays = memoryview(body)[4 + size :]

    def numbers(self, of: list[Any], kind: Any = np.int64) -> NDArray[Any]:
        """Return the array that something in the head stands for."""
        if of[0] == _LIST:
            return np.array(of[1], kind)
        if of[0] == _SAME:
            return np.full(of[2], of[1], kind)
        if of[0] != _RAW:
            raise ValueError(f"no numbers are kept as {of[0]}")
        _, stored, count, at, low = of
        found = np.frombuffer(self._arrays, stored, count, at).astype(kind)
        return found + np.array(low, kind) if low else found

    def rows(self, of: list[Any]) -> NDArray[np.int64]:
        """Return the numbers of rows that something in the head stands for."""
        if of[0] == _BITS:
            bits = np.frombuffer(self._arrays, np.uint8, -(-of[1] // 8), of[2])
            return np.flatnonzero(np.unpackbits(bits, count=of[1]))
        if of[0] == _STEPS:
            return np.cumsum(self.numbers(of[1]))
        return self.numbers(of)


@contextlib.contextmanager
def understood() -> Any:
    """Within it, whatever a damaged record makes go wrong is Unreadable."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError, zlib.error) as exc:
        raise Unreadable("The record of a decision is damaged.") from exc


def dumps(value: object) -> bytes:
    """Return a value as JSON. Sets are sorted lists, dataclasses objects; what is no JSON is text."""
    try:
        return orjson.dumps(value, _plainly, _OPTIONS)
    except TypeError:  # a number of more than 64 bits, a key that is none, half a surrogate pair, …
        return orjson.dumps(_harmless(value))


def plain(value: object) -> Any:
    """Return a value as it is when read from JSON."""
    return orjson.loads(dumps(value))


def _plainly(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    return _text(value)


def _harmless(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if depth < 32:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {_text(key): _harmless(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (set, frozenset)):
            value = sorted(value, key=str)
        if isinstance(value, (list, tuple)):
            return [_harmless(item, depth + 1) for item in value]
        if isinstance(value, np.generic):
            return _harmless(value.item(), depth + 1)
    return _text(value)


def _text(value: object) -> str:
    try:
        return str(value).encode("utf-8", "replace").decode()
    except Exception:  # a plugin's own class
        return f"<{type(value).__name__}>"
