"""What a project may have, and has. Nothing is limited yet, which -1 says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from tenter import errors
from tenter_api.compute.resource import operation
from tenter_api.compute.schemas import hosts as schemas

UNLIMITED = -1
_MAXIMA = ("maxServerMeta", "maxTotalInstances", "maxTotalCores", "maxTotalRAMSize", "maxTotalKeypairs",
           "maxServerGroups", "maxServerGroupMembers")  # fmt: skip
_NETWORK_MAXIMA = ("maxSecurityGroups", "maxSecurityGroupRules", "maxTotalFloatingIps")
_NETWORK_USES = ("totalFloatingIpsUsed", "totalSecurityGroupsUsed")


class Limits:
    """``/limits``"""

    def __init__(self, usage: Callable[[str], tuple[int, int, int]]) -> None:
        """``usage`` returns what a project has: instances, vCPUs, MiB of memory."""
        self._usage = usage

    @operation(query=schemas.LIMITS_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the caller's limits; admins may ask for another project's."""
        identity, minor = req.context.identity, req.context.version.minor
        project_id = req.context.query.get("tenant_id", [identity.project_id])[-1]
        if project_id != identity.project_id and not identity.is_admin:
            raise errors.Forbidden(
                "Policy doesn't allow this to be done: the limits of other projects are theirs."
            )
        instances, cores, memory = self._usage(project_id)
        absolute: dict[str, Any] = dict.fromkeys(_MAXIMA, UNLIMITED)
        absolute |= {"totalInstancesUsed": instances, "totalCoresUsed": cores, "totalRAMUsed": memory}
        absolute["totalServerGroupsUsed"] = 0
        if minor < 57:
            absolute |= {"maxPersonality": 0, "maxPersonalitySize": 0}
        if minor < 39:
            absolute["maxImageMeta"] = UNLIMITED
        if minor < 36:
            absolute |= dict.fromkeys(_NETWORK_MAXIMA, UNLIMITED) | dict.fromkeys(_NETWORK_USES, 0)
        resp.media = {"limits": {"rate": [], "absolute": absolute}}
