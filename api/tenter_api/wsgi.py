"""The API as importable WSGI applications, for servers other than the one that the ``tenter`` command brings.

::

    gunicorn --workers 1 --threads 12 tenter_api.wsgi:application
    gunicorn --workers 8 --threads 12 tenter_api.wsgi:api

Importing this does nothing. The first request reads the configuration from the usual places (TENTER_STATE_DIR names
another state directory). ``application`` is the whole cloud: it takes the state directory's lock and starts the fabric,
so there must be one process only. ``api`` is the API alone, in any number of processes, beside ``tenter conductor`` and
``tenter compute``. Run ``tenter up``, or ``tenter api``, once before: it makes the administrator and ``clouds.yaml``.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oslo_config import cfg

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LazyApplication:
    """Makes the application at the first request. If that fails, the next request tries again."""

    def __init__(self, make: Callable[[], WSGIApplication]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._application: WSGIApplication | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if self._application is None:
            with self._lock:
                if self._application is None:
                    self._application = self._make()
        return self._application(environ, start_response)


def make_embedded() -> WSGIApplication:
    """Start the fabric of the configured state directory and return the API on it.

    Raises an error of :mod:`tenter.errors` that says what is in the way.
    """
    from tenter.cli import embedded, state
    from tenter.operations.fabric import shared_dir

    conf = _configuration()
    state_dir, shared = Path(conf.state_dir), shared_dir(conf)
    state.prepare(state_dir)
    state.prepare(shared)
    held = state.lock(state_dir, shared)
    try:
        cloud = embedded.start(conf)
    except BaseException:
        held.close()
        raise
    atexit.register(held.close)
    atexit.register(cloud.stop)
    return _app(conf, cloud)


def make_api() -> WSGIApplication:
    """Open the databases that the configuration names and return the API on them.

    Raises an error of :mod:`tenter.errors` that says what is in the way.
    """
    from tenter.cli import processes

    conf = _configuration()
    process = processes.open_api(conf)
    atexit.register(process.stop)
    return _app(conf, process)


def _configuration() -> cfg.ConfigOpts:
    from tenter.conf import new_conf

    conf = new_conf(state_dir=os.environ.get("TENTER_STATE_DIR"))
    conf.set_override("state_dir", str(Path(conf.state_dir).absolute()))
    return conf


def _app(conf: cfg.ConfigOpts, parts: Any) -> WSGIApplication:
    from tenter.cells.reading import ServerReader
    from tenter_api.app import create_app
    from tenter_api.services import Services

    reader = ServerReader(parts.fabric.api_db, parts.fabric.cells)
    return create_app(
        Services(conf, parts.fabric, parts.identity, parts.image, parts.network, reader, parts.extensions)
    )


application = LazyApplication(make_embedded)
api = LazyApplication(make_api)
