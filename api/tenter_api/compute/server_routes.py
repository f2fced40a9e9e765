"""The paths at and below ``/servers``."""

from __future__ import annotations

from typing import Any

from tenter_api.compute import instance_actions, server_actions, server_children, servers
from tenter_api.services import Services


def table(services: Services) -> dict[str, Any]:
    """Return the resource that serves each path."""
    one = "/servers/{server_id}"
    resources = {
        "/servers": servers.Servers,
        "/servers/detail": servers.ServersDetail,
        one: servers.Server,
        f"{one}/action": server_actions.ServerActions,
        f"{one}/metadata": server_children.ServerMetadata,
        f"{one}/metadata/{{key}}": server_children.ServerMetadataItem,
        f"{one}/tags": server_children.ServerTags,
        f"{one}/tags/{{tag}}": server_children.ServerTag,
        f"{one}/ips": server_children.ServerAddresses,
        f"{one}/ips/{{network}}": server_children.ServerNetworkAddresses,
        f"{one}/os-interface": server_children.ServerInterfaces,
        f"{one}/os-interface/{{port_id}}": server_children.ServerInterface,
        f"{one}/os-volume_attachments": server_children.ServerVolumes,
        f"{one}/os-security-groups": server_children.ServerSecurityGroups,
        f"{one}/os-instance-actions": instance_actions.InstanceActions,
        f"{one}/os-instance-actions/{{request_id}}": instance_actions.InstanceAction,
    }
    return {path: resource(services) for path, resource in resources.items()}
