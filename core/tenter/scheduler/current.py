"""The host table of all cells, kept current: what has changed since it was looked at last is read, never all of it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tenter.cells import Cell, Cells
from tenter.contracts.table import HostTable
from tenter.scheduler.changes import Change, joined, kept, recoded
from tenter.scheduler.needs import Needs, nothing
from tenter.scheduler.rows import Aggregates, Rows, rows_of
from tenter.scheduler.table import read_only
from tenter.store import aggregates, host_feed
from tenter.store.engine import Database, now
from tenter.store.host_feed import Feed, HostRecord, Mark

LOOK = 1.0
"""Least seconds between two looks for signs of life; of many hosts they are looked for less often."""
GLANCE = 0.05
"""Seconds between two looks whether aggregates were changed."""
RENEWED = 3600.0
"""Seconds after which all is read anew, whatever the log says."""
SLACK = 5.0
"""Seconds by which the clocks of hosts may differ without that a sign of life is seen late."""


@dataclass(frozen=True)
class _Heard:
    """What was read of one cell: all of it at ``read``, its log up to ``mark``, signs of life up to ``newest`` (seconds
    since the epoch) when they were looked at last, and when all of them were (monotonic clock). ``images``: with what
    instances were made of."""

    mark: Mark
    read: float
    newest: float
    looked: float
    whole: float
    images: bool


@dataclass(frozen=True)
class _News:
    """What a cell says: nodes, all of them if ``whole``, and signs of life."""

    feed: Feed
    heard: _Heard
    whole: bool = False
    signs: Sequence[tuple[str, float]] = ()


class CurrentHosts:
    """The hosts of all cells. What a cell had stays known while it is away, but is not offered."""

    def __init__(self, cells: Cells, api_db: Database, down_after: Callable[[], float], needs: Needs = nothing) -> None:
        """``down_after`` returns the seconds without a sign of life after which a host is down, ``needs`` which columns
        are to be kept beside those that always are."""
        self._cells, self._api_db, self._down_after, self._needs = cells, api_db, down_after, needs
        self._lock = threading.Lock()
        self._heard: dict[str, _Heard] = {}
        self._aggregates: Aggregates = {}
        self._number, self._glanced = -1, -math.inf
        self._keys: frozenset[str] = frozenset()
        self._images = False
        self._rows = rows_of([], [], {})

    def table(self, cells: Sequence[Cell]) -> tuple[HostTable, Sequence[str]]:
        """Return the table as it is now, and the UUIDs of those of ``cells`` that are away."""
        with self._lock:
            self._look_at_aggregates()
            self._look_at_needs()
            answers = self._cells.ask(self._read, cells)
            for uuid, news in answers.found.items():
                self._take(uuid, news)
            return read_only(self._rows.at(now() - self._down_after())), answers.away

    def _read(self, cell: Cell) -> _News:
        heard, images = self._heard.get(cell.uuid), self._images
        if heard is not None and heard.images != images:
            heard = None
        feed = host_feed.read_since(cell.db, heard.mark, images) if heard is not None else None
        at = time.monotonic()
        if heard is None or feed is None or at - heard.read > RENEWED:
            feed = host_feed.read_all(cell.db, images)
            newest = max((record.last_seen for record in feed.hosts), default=0.0)
            return _News(feed, _Heard(feed.mark, at, newest, at, at, images), whole=True)
        if at - heard.looked < min(5 * LOOK, max(LOOK, len(self._rows.table) / 2000)):
            return _News(feed, replace(heard, mark=feed.mark))
        every = at - heard.whole > self._down_after() / 2
        signs = host_feed.read_signs(cell.db, 0.0 if every else heard.newest - SLACK)
        newest = max((seen for _, seen in signs), default=heard.newest)
        whole = at if every else heard.whole
        return _News(feed, _Heard(feed.mark, heard.read, newest, at, whole, images), signs=signs)

    def _take(self, cell_uuid: str, news: _News) -> None:
        if news.whole:
            others = self._rows.table.cell.where(lambda uuid: uuid != cell_uuid)
            new = self._made(cell_uuid, news.feed.hosts)
            self._rows = joined(recoded(kept(self._rows, others)), new) if others.any() else new
        elif news.feed.hosts or news.feed.gone:
            self._change(cell_uuid, news.feed)
        if news.signs:
            self._rows = self._rows.heard(news.signs)
        self._heard[cell_uuid] = news.heard

    def _made(self, cell_uuid: str, records: Sequence[HostRecord]) -> Rows:
        return rows_of([cell_uuid] * len(records), records, self._aggregates, self._images)

    def _change(self, cell_uuid: str, feed: Feed) -> None:
        change, other = Change(self._rows), []
        for record in feed.hosts:
            row = change.row_for(record)
            if row is None:
                other.append(record)
            else:
                change.put(row, record, self._aggregates.get(record.host, ()))
        self._rows = change.done()
        gone = [row for uuid in (*feed.gone, *(record.uuid for record in other))
                if (row := self._rows.row_of(uuid)) is not None]  # fmt: skip
        if gone:
            keep = self._rows.table.every(True)
            keep[gone] = False
            self._rows = kept(self._rows, keep)
        if other:
            self._rows = joined(self._rows, self._made(cell_uuid, other))

    def _look_at_aggregates(self) -> None:
        at = time.monotonic()
        if at - self._glanced < GLANCE:
            return
        self._glanced = at
        if aggregates.number(self._api_db) != self._number:
            self._aggregates, self._number = aggregates.by_host(self._api_db)
            self._keys = frozenset(key for held in self._aggregates.values() for one in held for key in one.metadata)
            self._rows = self._rows.within(self._aggregates)

    def _look_at_needs(self) -> None:
        self._images = "images" in self._needs(self._keys)
        if not self._images and self._rows.table.images is not None:
            # What happens from now on is not followed: if they are needed once more, cells are read whole.
            self._heard = {uuid: replace(heard, images=False) for uuid, heard in self._heard.items()}
            self._rows = replace(self._rows, table=replace(self._rows.table, images=None))
