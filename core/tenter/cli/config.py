"""``tenter config``."""

from __future__ import annotations

import sys

from oslo_config import generator

from tenter.conf import new_conf


def sample() -> int:
    """Print every option of the core and of the installed plugins, as a commented tenter.conf."""
    conf = new_conf()
    generator.register_cli_opts(conf)
    conf.set_override("namespace", ["tenter"])
    generator.generate(conf, sys.stdout)
    return 0
