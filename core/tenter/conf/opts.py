"""All options of the core, and how a configuration is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg
from oslo_log import _options as log_options  # what its own entry point of oslo.config.opts names
from oslo_log import log as oslo_logging

from tenter import __version__
from tenter.conf import api, cells, compute, database, fabric, hooks, migration, operations, pci, quota, scheduler
from tenter.conf.files import Known, files_to_read, names_by_section

SECTIONS: dict[str, Sequence[cfg.Opt]] = {
    "DEFAULT": fabric.OPTS,
    "api": api.OPTS,
    "cells": cells.OPTS,
    "compute": compute.OPTS,
    "database": database.OPTS,
    "hooks": hooks.OPTS,
    "migration": migration.OPTS,
    "notifications": hooks.NOTIFICATION_OPTS,
    "operations": operations.OPTS,
    "pci": pci.OPTS,
    "quota": quota.OPTS,
    "scheduler": scheduler.OPTS,
}


def new_conf(
    files: Sequence[str] | None = None,
    state_dir: str | Path | None = None,
    directories: Sequence[str] | None = None,
    *,
    check: bool = True,
    **overrides: object,
) -> cfg.ConfigOpts:
    """Return a configuration with the options of the core registered.

    It is read from ``files`` and ``*.conf`` in ``directories``; without any, from the usual places. Variables of the
    environment (``OS_SECTION__OPTION``) come before files, and ``overrides`` before both: ``host=…`` of DEFAULT,
    ``api__port=…`` of a section. Raises cfg.Error with a sentence for a file that cannot be read or, if they are to be
    checked, a value that is not allowed.
    """
    conf = cfg.ConfigOpts()
    oslo_logging.register_options(conf)
    for section, options in SECTIONS.items():
        conf.register_opts(options, group=None if section == "DEFAULT" else section)
    conf([], project="tenter", version=__version__, default_config_files=files_to_read(files, directories),
         default_config_dirs=[])  # fmt: skip
    if state_dir is not None:
        conf.set_override("state_dir", str(state_dir))
    for name, value in overrides.items():
        if value is not None:
            section, _, option = name.rpartition("__")
            try:
                conf.set_override(option, value, group=section or None)
            except ValueError as exc:
                raise cfg.Error(f"[{section or 'DEFAULT'}] {option} = {value}: {exc}") from exc
    for problem in problems(conf) if check else ():
        raise cfg.Error(problem)
    return conf


def problems(conf: cfg.ConfigOpts) -> list[str]:
    """Return a sentence for each value of the core's options that is not allowed."""
    found = []
    for section, options in SECTIONS.items():
        for option in options:
            try:
                check_values(conf, section, [option])
            except cfg.Error as exc:
                found.append(str(exc))
    return found


def known_options(conf: cfg.ConfigOpts) -> Known:
    """Return what is known without plugins: options of the core, of the log, of oslo.config itself and its sources."""
    log = [(section or "DEFAULT", found) for section, found in log_options.list_opts()]
    known = names_by_section([*list_opts(), *log])
    known["DEFAULT"] |= {name for name in conf if name not in known}
    for source in conf.config_source or ():
        known[source.lower()] = set(conf[source])
    return known


def check_values(conf: cfg.ConfigOpts, section: str, options: Sequence[cfg.Opt]) -> None:
    """Raise cfg.Error with a sentence if a value is not allowed; oslo.config itself looks only when it is used."""
    group = conf if section == "DEFAULT" else conf[section]
    for option in options:
        try:
            group[option.dest]
        except (cfg.ConfigFileValueError, ValueError) as exc:
            if option.secret:  # what is wrong with a value quotes it
                raise cfg.Error(f"[{section}] {option.name}: its value (secret) is not allowed.") from None
            reason = str(exc).rpartition(" is not valid: ")[2]
            raise cfg.Error(f"[{section}] {option.name}: {reason}") from exc
        except (cfg.NoSuchOptError, cfg.TemplateSubstitutionError) as exc:
            why = "its value refers with '$' to an option that there is not; '$$' stands for the character itself."
            raise cfg.Error(f"[{section}] {option.name}: {why}") from exc


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the core's options by section, for oslo-config-generator (entry point ``oslo.config.opts``)."""
    return [(section, list(options)) for section, options in SECTIONS.items()]
