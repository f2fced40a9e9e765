"""``tenter up``: the whole cloud as one service.

A master process (gunicorn's) holds the port and the state directory's lock; its one worker holds the rest. Should
the worker die, the master starts another, which takes over what was being done.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oslo_config import cfg
from oslo_log import log as oslo_logging

from tenter import errors, plugins
from tenter.cli import config, logs, state

LINE = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s [%(request_id)s] %(instance)s%(message)s"
LOG = logging.getLogger(__name__)
if TYPE_CHECKING:
    from tenter.cli import embedded

NOISY = (
    "alembic", "stevedore", "sqlalchemy", "oslo_db", "oslo_service", "gunicorn.error", "falcon", "urllib3",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    from tenter.operations.fabric import shared_dir

    conf = configuration(args)
    state_dir = Path(conf.state_dir).absolute()
    conf.set_override("state_dir", str(state_dir))
    state.prepare(state_dir)
    state.prepare(shared_dir(conf))
    plugins.check_installed("virt", conf.virt_driver)
    held = state.lock(state_dir, shared_dir(conf))
    listener = listen(conf.api.listen, conf.api.port)
    serve = plugins.load_server("gunicorn")
    try:
        serve(conf, listener, lambda: _boot(conf, args.reset_password), 1)
    finally:
        held.close()
    return 0


def configuration(args: argparse.Namespace) -> cfg.ConfigOpts:
    """Return the configuration that a service's arguments make, with the log set up after it. Raises Invalid."""
    given = vars(args)
    conf = config.read(
        args, api__port=given.get("port"), api__workers=given.get("workers"), virt_driver=given.get("driver"),
        host=given.get("host"), debug=args.debug or None,
    )  # fmt: skip
    oslo_logging.set_defaults(
        logging_context_format_string=LINE,
        default_log_levels=[f"{name}=WARNING" for name in NOISY],
    )
    oslo_logging.setup(conf, "tenter")
    logs.say_errors_once(conf)
    logging.captureWarnings(True)
    for sentence in config.unknown(conf):
        LOG.warning("%s", sentence)
    return conf


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there. Raises Conflict if that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise errors.Conflict(
            f"Port {port} on {host} cannot be used: {os.strerror(exc.errno or 0)}. Choose another with --port."
        ) from exc
    listener.listen(1024)
    return listener


def _boot(conf: cfg.ConfigOpts, reset_password: bool) -> object:
    """Start everything in the worker; return what the API is built on."""
    from tenter.cli import embedded

    cloud = embedded.start(conf)
    said = bootstrap(conf, Path(conf.state_dir), cloud, reset_password)
    if said is not None:
        print(said + "\nCtrl-C stops it and leaves the guests running.", file=sys.stderr, flush=True)
    return cloud


def bootstrap(conf: cfg.ConfigOpts, directory: Path, drivers: embedded.Drivers, reset_password: bool) -> str | None:
    """Make the administrator at the first start, write ``endpoint`` and ``clouds.yaml``, and return what to say about
    it; None if the identity driver has users of its own."""
    url = conf.api.public_url or f"http://{conf.api.listen}:{conf.api.port}"
    (directory / state.ENDPOINT).write_text(url + "\n")
    password = state.read_password(directory)
    admin = drivers.bootstrap(reset_password or password is None)
    if admin is None:
        return None
    clouds = state.write_clouds(directory, url, admin.user, admin.password or password or "", admin.project)
    return _welcome(url, clouds)


def _welcome(url: str, clouds: Path) -> str:
    return (
        f"Tenter is up at {url}\n"
        f"  export OS_CLIENT_CONFIG_FILE={clouds} OS_CLOUD=tenter\n"
        "  openstack server list"
    )
