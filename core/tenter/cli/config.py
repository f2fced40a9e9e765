"""``tenter config``."""

from __future__ import annotations

import argparse
from importlib import metadata

from oslo_config import cfg, generator

from tenter import errors
from tenter.conf import new_conf


def read(args: argparse.Namespace, **overrides: object) -> cfg.ConfigOpts:
    """Return the configuration that a command's arguments name. Raises Invalid if it cannot be used."""
    try:
        return new_conf(args.config_file, args.state_dir, **overrides)
    except (cfg.Error, ValueError) as exc:
        said = " ".join(str(exc).split())
        raise errors.Invalid(f"The configuration cannot be used: {said}") from exc


def namespaces() -> list[str]:
    """Return the names under which options are listed: the core's, those of plugins (``tenter.…``), the log's."""
    installed = {entry_point.name for entry_point in metadata.entry_points(group="oslo.config.opts")}
    return ["tenter", *sorted(name for name in installed if name.startswith("tenter.")), "oslo.log"]


def sample() -> int:
    """Print every option of the core and of the installed plugins, as a commented tenter.conf."""
    generator.main([word for name in namespaces() for word in ("--namespace", name)])
    return 0
