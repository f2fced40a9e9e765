"""``tenter config``."""

from __future__ import annotations

import argparse
from typing import Any

from oslo_config import cfg

from tenter import errors
from tenter.conf import new_conf
from tenter.plugins.options import namespaces, unknown

__all__ = ["read", "sample", "unknown"]


def read(args: argparse.Namespace, **overrides: Any) -> cfg.ConfigOpts:
    """Return the configuration that a command's arguments name. Raises Invalid if it cannot be used."""
    try:
        return new_conf(args.config_file, args.state_dir, args.config_dir, **overrides)
    except (cfg.Error, ValueError) as exc:
        said = " ".join(str(exc).split())
        raise errors.Invalid(f"The configuration cannot be used: {said}") from exc


def sample() -> int:
    """Print every option of the core and of the installed plugins, as a commented tenter.conf."""
    from oslo_config import generator  # imports much that only this needs

    generator.main([word for name in namespaces() for word in ("--namespace", name)])
    return 0
