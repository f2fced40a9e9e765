"""The whole cloud as an importable WSGI application, for servers other than the one that ``tenter up`` brings.

::

    gunicorn --workers 1 --threads 12 tenter_api.wsgi:application

Importing this does nothing. The first request reads the configuration from the usual places (TENTER_STATE_DIR names
another state directory), takes the state directory's lock and starts the fabric; so there must be one process only.
Run ``tenter up`` once before: it makes the administrator and writes ``clouds.yaml``.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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
    from tenter.cells.reading import ServerReader
    from tenter.cli import embedded, state
    from tenter.conf import new_conf
    from tenter_api.app import create_app
    from tenter_api.services import Services

    conf = new_conf(state_dir=os.environ.get("TENTER_STATE_DIR"))
    state_dir = Path(conf.state_dir).absolute()
    conf.set_override("state_dir", str(state_dir))
    state.prepare(state_dir)
    held = state.lock(state_dir)
    try:
        cloud = embedded.start(conf)
    except BaseException:
        held.close()
        raise
    atexit.register(held.close)
    atexit.register(cloud.stop)
    fabric = cloud.fabric
    reader = ServerReader(fabric.api_db, fabric.cells)
    return create_app(Services(conf, fabric, cloud.identity, cloud.image, cloud.network, reader))


application = LazyApplication(make_embedded)
