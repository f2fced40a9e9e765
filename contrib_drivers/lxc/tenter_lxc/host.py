"""What the host is and offers, and what the driver can do on it."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from uuid import uuid4

from tenter.contracts.base import Capability, SupportsTeardown
from tenter.contracts.virt import NodeInventory, SupportsConsoleOutput, SupportsPause
from tenter_lxc import config_drive

_FREEZER = Path("/sys/fs/cgroup/freezer")


def capabilities() -> dict[str, Capability]:
    """Return every power and what else users may ask about: on, or off with the reason. Only looks."""
    return {
        SupportsConsoleOutput.capability: Capability(True),
        SupportsPause.capability: _capability(
            _FREEZER.is_dir(), "libvirt freezes containers by the freezer of cgroup v1, which is not mounted here"
        ),
        SupportsTeardown.capability: Capability(True),
        "config_drive": Capability(True, details={"directory": config_drive.TARGET}),
        "soft_reboot": Capability(True),
        "bridge_networking": _capability(os.geteuid() == 0, "it needs root"),
        "user_networking": Capability(False, "a container has no user-mode network of a hypervisor"),
        "disk_quota": Capability(False, "a guest's root is a directory: only the image is held to the flavor's size"),
        "cpu_quota": Capability(False, "a guest may use every processor of the host"),
    }


def inventory(name: str, state_dir: Path) -> NodeInventory:
    """Return the one node, called ``name``. Its UUID is made at the first call and kept in ``state_dir``."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return NodeInventory(
        uuid=_kept_uuid(state_dir / "node-uuid"),
        name=name,
        vcpus=os.cpu_count() or 1,
        memory_mib=memory >> 20,
        disk_gib=shutil.disk_usage(state_dir).total >> 30,
        cpu_info={"arch": platform.machine(), "model": "", "vendor": "", "features": [], "topology": {}},
    )


def _kept_uuid(path: Path) -> str:
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(str(uuid4()), encoding="ascii")
        fresh.rename(path)
    return path.read_text(encoding="ascii")


def _capability(on: bool, reason: str) -> Capability:
    return Capability(on, "" if on else reason)
