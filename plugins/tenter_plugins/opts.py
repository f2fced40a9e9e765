"""Options of the shipped plugins, for oslo-config-generator and ``tenter config sample``."""

from __future__ import annotations

from oslo_config import cfg

from tenter.contracts.base import Plugin
from tenter_plugins.identity.local import LocalIdentity
from tenter_plugins.image.local import LocalImages
from tenter_plugins.network.local.driver import LocalNetwork
from tenter_plugins.notifiers.file import FileNotifier
from tenter_plugins.virt.fake import FakeDriver
from tenter_plugins.virt.libvirt import options as libvirt
from tenter_plugins.weighers import resources
from tenter_plugins.weighers.build_failure import BuildFailureWeigher

PLUGINS: tuple[type[Plugin], ...] = (
    LocalIdentity, LocalImages, LocalNetwork, FakeDriver,
    resources.CPUWeigher, resources.RAMWeigher, resources.DiskWeigher, BuildFailureWeigher,
    FileNotifier,
)  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``).

    The libvirt driver's come from a module of their own: the driver itself needs libraries that need not be installed.
    """
    sections: dict[str, list[cfg.Opt]] = {libvirt.SECTION: list(libvirt.OPTIONS)}
    for plugin in PLUGINS:
        if plugin.options:
            sections.setdefault(plugin.section, []).extend(plugin.options)
    return sorted(sections.items())
