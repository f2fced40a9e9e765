"""The list of extensions: what old clients look at to learn which parts of the API there are."""

from __future__ import annotations

from typing import Any

import falcon

from tenter import errors
from tenter_api.compute.resource import operation

_SERVED = {
    "OS-DCF": ("DiskConfig", "How the disks of servers are partitioned."),
    "OS-EXT-AZ": ("ExtendedAvailabilityZone", "The availability zone of servers."),
    "OS-EXT-IPS": ("ExtendedIps", "The type of servers' addresses."),
    "OS-EXT-IPS-MAC": ("ExtendedIpsMac", "The MAC address behind each of servers' addresses."),
    "OS-EXT-SRV-ATTR": ("ExtendedServerAttributes", "Where servers run, for admins."),
    "OS-EXT-STS": ("ExtendedStatus", "The states of servers, one by one."),
    "OS-FLV-DISABLED": ("FlavorDisabled", "Whether a flavor is disabled."),
    "OS-FLV-EXT-DATA": ("FlavorExtraData", "The ephemeral disk of flavors."),
    "OS-SCH-HNT": ("SchedulerHints", "Hints to the scheduler."),
    "OS-SRV-USG": ("ServerUsage", "When servers were launched and terminated."),
    "os-access-ips": ("AccessIPs", "Addresses by which servers want to be reached."),
    "os-availability-zone": ("AvailabilityZone", "Availability zones."),
    "os-config-drive": ("ConfigDrive", "Configuration for guests on a drive."),
    "os-console-output": ("ConsoleOutput", "The console log of servers."),
    "os-extended-availability-zone": ("ExtendedAvailabilityZone", "The availability zone of servers."),
    "os-flavor-access": ("FlavorAccess", "Which projects may use a flavor."),
    "os-flavor-extra-specs": ("FlavorExtraSpecs", "Extra specifications of flavors."),
    "os-flavor-manage": ("FlavorManage", "Flavors are created and deleted."),
    "os-flavor-rxtx": ("FlavorRxtx", "The network factor of flavors."),
    "os-flavor-swap": ("FlavorSwap", "The swap of flavors."),
    "os-hypervisors": ("Hypervisors", "The nodes that servers run on, for admins."),
    "os-instance-actions": ("InstanceActions", "What was done to servers."),
    "os-keypairs": ("Keypairs", "Key pairs of users."),
    "os-multiple-create": ("MultipleCreate", "Several servers by one request."),
    "os-server-groups": ("ServerGroups", "Servers that are to be on one host, or each on another."),
    "os-server-start-stop": ("ServerStartStop", "Servers are started and stopped."),
    "os-services": ("Services", "The processes of the fabric, for admins."),
    "os-used-limits": ("UsedLimits", "What of its limits a project uses."),
    "os-user-data": ("UserData", "Data of the user for guests."),
}


def _view(alias: str) -> dict[str, Any]:
    name, description = _SERVED[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    }


class Extensions:
    """``/extensions``"""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List what is served."""
        resp.media = {"extensions": [_view(alias) for alias in _SERVED]}


class ExtensionItem:
    """``/extensions/{alias}``"""

    @operation()
    def on_get(self, req: falcon.Request, resp: falcon.Response, alias: str) -> None:
        """Show one."""
        if alias not in _SERVED:
            raise errors.NotFound(f"There is no extension {alias[:64]!r}.")
        resp.media = {"extension": _view(alias)}
