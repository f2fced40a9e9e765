"""How plugins are found, version-checked, constructed and reported on.

The only package that knows stevedore and pluggy.
``kinds`` says which kinds there are and how those of a kind are enabled, ``discovery`` what is installed, ``loading``
makes a plugin of a name, and ``report`` says of every plugin what an operator should know.
"""

from tenter.plugins.kinds import GROUPS, KINDS, enabled
from tenter.plugins.loading import (
    check_installed,
    close,
    compatible,
    described,
    load,
    load_all,
    load_class,
    load_server,
    names,
    starting,
)

__all__ = [
    "GROUPS", "KINDS", "check_installed", "close", "compatible", "described", "enabled", "load", "load_all",
    "load_class", "load_server", "names", "starting",
]  # fmt: skip
