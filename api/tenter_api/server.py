"""Serving the API with gunicorn: a master that holds the port, and workers with threads that hold the fabric."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from oslo_config import cfg

from tenter import errors
from tenter.plugins.guard import said

LOG = logging.getLogger(__name__)
APP_LOAD_ERROR = 4
"""Exit code by which a gunicorn worker tells its master that starting it again will not help."""


class Master(Arbiter):
    """gunicorn's master, which says when it stops."""

    _failed = False

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """End it all. A worker that cannot start has said why already."""
        self._failed = exit_status != 0
        super().halt(reason=reason, exit_status=exit_status)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers, with time for what they do if ``graceful``."""
        if self._failed:
            super().stop(graceful)
            return
        seconds = self.cfg.graceful_timeout if graceful else 0
        LOG.info("Stopping; requests that are being answered have up to %d seconds", seconds)
        super().stop(graceful)


class Server(BaseApplication):
    """A gunicorn application whose worker starts the fabric and builds the API on it."""

    def __init__(
        self, conf: cfg.ConfigOpts, listener: socket.socket, boot: Callable[[], Any], workers: int = 1
    ) -> None:
        self._conf, self._listener, self._boot, self._workers = conf, listener, boot, workers
        self._cloud: Any = None
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options from ours."""
        options: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": self._workers,
            "worker_class": "gthread",
            "threads": self._conf.api.threads,
            "keepalive": 75,
            "timeout": 0,
            "graceful_timeout": round(self._conf.graceful_timeout) + 5,
            "proc_name": "tenter",
            "loglevel": "warning",
            "worker_exit": lambda server, worker: self._stop(),
            "limit_request_line": 8190,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Start the fabric in this worker and return the WSGI application."""
        from tenter.cells.reading import ServerReader
        from tenter_api.app import create_app
        from tenter_api.services import Services

        try:
            cloud = self._cloud = self._boot()
            fabric = cloud.fabric
            reader = ServerReader(fabric.api_db, fabric.cells)
            return create_app(
                Services(self._conf, fabric, cloud.identity, cloud.image, cloud.network, reader, cloud.extensions)
            )
        except errors.TenterError as exc:
            LOG.debug("The worker cannot start", exc_info=True)
            self._give_up(str(exc))
        except (Exception, KeyboardInterrupt) as exc:
            LOG.exception("The worker cannot start")
            self._give_up(f"It cannot start, and the log says where: {said(exc)}")

    @staticmethod
    def _give_up(why: str) -> NoReturn:
        """End the worker so that its master ends too; else it would start one after the other for ever."""
        try:
            print(f"tenter: {why}", file=sys.stderr, flush=True)
        finally:  # nobody may be listening
            os._exit(APP_LOAD_ERROR)

    def run(self) -> None:
        """Serve until told to stop."""
        Master(self).run()

    def _stop(self) -> None:
        if self._cloud is not None:
            self._cloud.stop()


def _tells_more(record: logging.LogRecord) -> bool:
    """Return whether a line of gunicorn's says more than the worker has said, when it could not start."""
    said = record.getMessage()
    return not said.endswith((f"exited with code {APP_LOAD_ERROR}.", "Shutting down: Master", "App failed to load."))


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a line of gunicorn's says more than that a client has stalled for too long."""
    stalled = record.exc_info is not None and isinstance(record.exc_info[1], BlockingIOError)
    return not (stalled and record.getMessage() == "Socket error processing request.")


def drop_stalled(listener: socket.socket, seconds: int) -> None:
    """Make reads and writes on connections that ``listener`` accepts fail (EAGAIN) after that many idle seconds.

    Without it a few clients that send half a request would hold all threads for ever. The kernel hands these options
    down to what is accepted (socket(7)), and gunicorn, which sets Python's own timeouts, leaves them alone.
    """
    timeval = struct.pack("@ll", seconds, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


def serve(conf: cfg.ConfigOpts, listener: socket.socket, boot: Callable[[], Any], workers: int = 1) -> None:
    """Serve until SIGINT or SIGTERM. ``boot`` is called in each worker and returns fabric and drivers.

    Exits with 1 if a worker cannot start.
    """
    for more in (_tells_more, _is_news):
        logging.getLogger("gunicorn.error").addFilter(more)
    drop_stalled(listener, conf.api.client_timeout)
    master = os.getpid()
    try:
        Server(conf, listener, boot, workers).run()
    except SystemExit as exc:
        if os.getpid() != master:  # a worker's exit code tells its master why it ended
            raise
        sys.exit(1 if exc.code else 0)
