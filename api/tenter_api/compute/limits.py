"""What a project may have, and has."""

from __future__ import annotations

import falcon

from tenter import errors
from tenter.store.quota import Quotas
from tenter_api.compute.resource import operation
from tenter_api.compute.schemas import hosts as schemas

_MAXIMA = {
    "maxServerMeta": "metadata_items",
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalRAMSize": "ram",
    "maxTotalKeypairs": "key_pairs",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
}
_FILE_MAXIMA = {"maxPersonality": "injected_files", "maxPersonalitySize": "injected_file_content_bytes"}
_IMAGE_MAXIMA = {"maxImageMeta": "metadata_items"}
_NETWORK_MAXIMA = {
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
    "maxTotalFloatingIps": "floating_ips",
}
_USES = {
    "totalInstancesUsed": "instances",
    "totalCoresUsed": "cores",
    "totalRAMUsed": "ram",
    "totalServerGroupsUsed": "server_groups",
}
_NETWORK_USES = {"totalFloatingIpsUsed": "floating_ips", "totalSecurityGroupsUsed": "security_groups"}


class Limits:
    """``/limits``"""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    @operation(query=schemas.LIMITS_QUERY)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the caller's limits and what is used of them; admins may ask for another project's."""
        identity, minor = req.context.identity, req.context.version.minor
        project_id = req.context.query.get("tenant_id", [identity.project_id])[-1]
        if project_id != identity.project_id and not identity.is_admin:
            raise errors.Forbidden(
                "Policy doesn't allow this to be done: the limits of other projects are theirs."
            )
        maxima, uses = dict(_MAXIMA), dict(_USES)
        if minor < 57:
            maxima |= _FILE_MAXIMA
        if minor < 39:
            maxima |= _IMAGE_MAXIMA
        if minor < 36:
            maxima |= _NETWORK_MAXIMA
            uses |= _NETWORK_USES
        limits, used = self._quotas.limits(project_id), self._quotas.usage(project_id)
        absolute = {name: limits[resource] for name, resource in maxima.items()}
        absolute |= {name: used[resource] for name, resource in uses.items()}
        resp.media = {"limits": {"rate": [], "absolute": absolute}}
