"""The local network driver as tests construct it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from tenter.conf import new_conf
from tenter.contracts.base import PluginSetup
from tenter.contracts.network import VIF, AllocateRequest, CheckRequest, RequestedNetwork
from tenter_plugins.network.local.driver import LocalNetwork

PROJECT, OTHER = "11111111111111111111111111111111", "22222222222222222222222222222222"


class Local(LocalNetwork):
    """The driver, with a shorthand."""

    def boot(self, *wanted: RequestedNetwork, instance: str | None = None) -> tuple[str, tuple[VIF, ...]]:
        """Check and allocate as a build does; return the instance and its VIFs."""
        instance = instance or str(uuid.uuid4())
        networks = self.check(CheckRequest(PROJECT, wanted or None))
        return instance, self.allocate(AllocateRequest(instance, PROJECT, "host", "vm", networks))


Make = Callable[..., Local]


def build(directory: Path, core: dict[str, object] | None = None, **options: object) -> Local:
    """Construct a driver on a state directory, in mode none unless told otherwise. ``core``: the core's options."""
    conf = new_conf(state_dir=directory, **(core or {"virt_driver": "libvirt"}))
    conf.register_opts(list(Local.options), group=Local.section)
    for name, value in {"mode": "none", **options}.items():
        conf.set_override(name, value, group=Local.section)
    return Local(PluginSetup(conf, directory))
