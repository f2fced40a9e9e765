"""``tenter config``."""

from __future__ import annotations

import sys
from importlib import metadata

from oslo_config import generator

from tenter.conf import new_conf


def namespaces() -> list[str]:
    """Return the names under which options are listed: the core's, those of plugins (``tenter.…``), the log's."""
    installed = {entry_point.name for entry_point in metadata.entry_points(group="oslo.config.opts")}
    return ["tenter", *sorted(name for name in installed if name.startswith("tenter.")), "oslo.log"]


def sample() -> int:
    """Print every option of the core and of the installed plugins, as a commented tenter.conf."""
    conf = new_conf()
    generator.register_cli_opts(conf)
    conf.set_override("namespace", namespaces())
    generator.generate(conf, sys.stdout)
    return 0
