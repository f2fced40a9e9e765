"""All options of the core, and how a configuration is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg
from oslo_log import log as oslo_logging

from tenter import __version__
from tenter.conf import api, cells, compute, database, fabric, hooks, operations, quota, scheduler

SECTIONS: dict[str, Sequence[cfg.Opt]] = {
    "DEFAULT": fabric.OPTS,
    "api": api.OPTS,
    "cells": cells.OPTS,
    "compute": compute.OPTS,
    "database": database.OPTS,
    "hooks": hooks.OPTS,
    "notifications": hooks.NOTIFICATION_OPTS,
    "operations": operations.OPTS,
    "quota": quota.OPTS,
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
            try:
                conf.set_override(option, value, group=section or None)
            except ValueError as exc:
                raise cfg.Error(f"[{section or 'DEFAULT'}] {option} = {value}: {exc}") from exc
    for section, options in SECTIONS.items():
        check_values(conf, section, options)
    return conf


def check_values(conf: cfg.ConfigOpts, section: str, options: Sequence[cfg.Opt]) -> None:
    """Raise cfg.Error with a sentence if a value is not allowed; oslo.config itself looks only when it is used."""
    group = conf if section == "DEFAULT" else conf[section]
    for option in options:
        try:
            group[option.dest]
        except (cfg.ConfigFileValueError, ValueError) as exc:
            reason = str(exc).rpartition(" is not valid: ")[2]
            raise cfg.Error(f"[{section}] {option.name}: {reason}") from exc


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the core's options by section, for oslo-config-generator (entry point ``oslo.config.opts``)."""
    return [(section, list(options)) for section, options in SECTIONS.items()]
