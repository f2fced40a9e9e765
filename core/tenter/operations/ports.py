"""Ports of an instance whose host cannot give them back itself."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from tenter.contracts.network import InstancePorts
from tenter.operations.model import StepContext

LOG = logging.getLogger(__name__)


def take_back(context: StepContext, host: str | None = None) -> list[dict[str, Any]]:
    """Give back the instance's ports (those bound to ``host``, if given) without its host.

    Returns the VIFs, as JSON, that may still be plugged there; none if this process has no network driver. Raises what
    the driver raises.
    """
    network, uuid = context.network, context.operation.instance_uuid
    if network is None:
        return []
    vifs = [dataclasses.asdict(vif) for vif in network.vifs(InstancePorts(uuid, host))]
    network.deallocate(InstancePorts(uuid, host))
    return vifs


def give_back(context: StepContext, host: str | None = None) -> list[dict[str, Any]]:
    """Do the same, but raise nothing: where it cannot be done, the host's compute does it when it is back, or the
    audit."""
    try:
        return take_back(context, host)
    except Exception as exc:
        LOG.warning("The ports of %s cannot be given back now: %s", context.operation.instance_uuid, exc)
        return []
