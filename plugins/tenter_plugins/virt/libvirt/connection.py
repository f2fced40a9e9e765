"""The connection to libvirt: made when needed, and made again once when it breaks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tenter import errors
from tenter_plugins.virt.libvirt.daemon import PrivateDaemon
from tenter_plugins.virt.libvirt.lib import libvirt

LOG = logging.getLogger(__name__)
T = TypeVar("T")

KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 6


class Connection:
    """One shared connection to libvirt (it is thread-safe), to ``uri`` or to a daemon of our own."""

    def __init__(self, uri: str | None, daemon: PrivateDaemon | None) -> None:
        self._uri = uri
        self.daemon = daemon
        self._lock = threading.Lock()
        self._conn: Any = None

    def run(self, work: Callable[[Any], T]) -> T:
        """Return ``work(virConnect)``.

        If the connection breaks meanwhile, a new one is made (our daemon started again if it died) and ``work`` is run
        once more: it must be safe to run twice. Raises HypervisorUnavailable, or the libvirtError of a call that
        libvirt answered.
        """
        lib = libvirt()
        conn = self._get()
        try:
            return work(conn)
        except lib.libvirtError as exc:
            if _alive(conn):
                raise
            LOG.warning("The connection to libvirt broke: %s", exc)
        self._drop(conn)
        conn = self._get()
        try:
            return work(conn)
        except lib.libvirtError as exc:
            if _alive(conn):
                raise
            self._drop(conn)
            raise errors.HypervisorUnavailable(f"libvirt went away twice: {exc}") from exc

    def close(self) -> None:
        """Close the connection; the daemon stays."""
        with self._lock:
            conn, self._conn = self._conn, None
        if conn is not None:
            _close(conn)

    def _get(self) -> Any:
        with self._lock:
            if self._conn is None or not _alive(self._conn):
                self._conn = self._open()
            return self._conn

    def _drop(self, conn: Any) -> None:
        with self._lock:
            if self._conn is conn:
                self._conn = None
        _close(conn)

    def _open(self) -> Any:
        lib = libvirt()
        if self.daemon:
            self.daemon.ensure()
        uri = self.daemon.uri if self.daemon else self._uri
        try:
            conn = lib.open(uri)
            conn.setKeepAlive(KEEPALIVE_INTERVAL, KEEPALIVE_COUNT)
        except lib.libvirtError as exc:
            raise errors.HypervisorUnavailable(f"libvirt at {uri} does not answer: {exc}") from exc
        return conn


def _alive(conn: Any) -> bool:
    try:
        return bool(conn.isAlive() == 1)
    except libvirt().libvirtError:
        return False


def _close(conn: Any) -> None:
    try:
        conn.close()
    except libvirt().libvirtError:
        LOG.debug("Closing a broken connection failed", exc_info=True)
