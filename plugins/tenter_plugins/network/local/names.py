"""Names of what the driver makes on a host. Linux allows 15 characters for an interface."""

from __future__ import annotations

import hashlib
from pathlib import Path


def namespace_name(state_dir: Path) -> str:
    """Return the network namespace of a state directory, such as ``tenter-1a2b3c4d``: the same at each start,
    another for each directory."""
    return "tenter-" + hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:8]


def bridge_name(network_id: str) -> str:
    """Return the name of a network's bridge."""
    return "br-" + network_id[:11]


def tap_name(port_id: str) -> str:
    """Return the name of a port's tap."""
    return "tap" + port_id[:11]
