"""All options of the core, and how a configuration is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg
from oslo_log import log as oslo_logging

from tenter import __version__
from tenter.conf import api, compute, database, fabric, operations, scheduler

SECTIONS: dict[str, Sequence[cfg.Opt]] = {
    "DEFAULT": fabric.OPTS,
    "api": api.OPTS,
    "compute": compute.OPTS,
    "database": database.OPTS,
    "operations": operations.OPTS,
    "scheduler": scheduler.OPTS,
}


def new_conf(
    files: Sequence[str] | None = None, state_dir: str | Path | None = None, **overrides: object
) -> cfg.ConfigOpts:
    """Return a configuration read from ``files`` (default: the usual places), with options of the core registered.

    ``overrides`` set options after the files: ``port=…`` of DEFAULT, ``api__port=…`` of a section. Raises cfg.Error
    with a sentence for a file that cannot be read or a value that is not allowed.
    """
    conf = cfg.ConfigOpts()
    oslo_logging.register_options(conf)
    for section, options in SECTIONS.items():
        conf.register_opts(options, group=None if section == "DEFAULT" else section)
    conf([], project="tenter", version=__version__, default_config_files=list(files) if files else None)
    if state_dir is not None:
        conf.set_override("state_dir", str(state_dir))
    for name, value in overrides.items():
        if value is not None:
            section, _, option = name.rpartition("__")
            conf.set_override(option, value, group=section or None)
    return conf


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the core's options by section, for oslo-config-generator (entry point ``oslo.config.opts``)."""
    return [(section, list(options)) for section, options in SECTIONS.items()]
