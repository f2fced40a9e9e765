"""Ports of an instance whose host cannot give them back itself."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from tenter.operations.model import StepContext

LOG = logging.getLogger(__name__)


def give_back(context: StepContext) -> list[dict[str, Any]]:
    """Give back the instance's ports without its host; return the VIFs, as JSON, that may still be plugged there.

    Where that cannot be done, the host's compute does it when it is back, or the audit.
    """
    network, uuid = context.network, context.operation.instance_uuid
    if network is None:
        return []
    try:
        vifs = [dataclasses.asdict(vif) for vif in network.vifs(uuid)]
        network.deallocate(uuid)
    except Exception as exc:
        LOG.warning("The ports of %s cannot be given back now: %s", uuid, exc)
        return []
    return vifs
