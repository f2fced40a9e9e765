"""Every path of the Compute API, in one table."""

from __future__ import annotations

from typing import Any

import falcon

from tenter.store.quota import Quotas
from tenter_api.compute import (
    aggregates,
    availability_zones,
    dry_run,
    extensions,
    flavors,
    hypervisors,
    keypairs,
    limits,
    operations,
    placement,
    quotas,
    server_groups,
    server_routes,
    versions,
)
from tenter_api.compute import services as service_resources
from tenter_api.compute.host_lists import HostLists
from tenter_api.middleware import COMPUTE_PREFIX
from tenter_api.services import Services


def table(services: Services) -> dict[str, Any]:
    """Return the resource that serves each path below ``/v2.1`` (and below ``/v2.1/{project_id}``)."""
    return {
        **_flavors(services),
        **_keypairs(services),
        **_server_groups(services),
        **_hosts(services),
        **_facts(services),
        **server_routes.table(services),
        **_ours(services),
    }


def _flavors(services: Services) -> dict[str, Any]:
    db, max_limit = services.fabric.api_db, services.conf.api.max_limit
    return {
        "/flavors": flavors.Flavors(db, max_limit),
        "/flavors/detail": flavors.FlavorsDetail(db, max_limit),
        "/flavors/{flavor_id}": flavors.FlavorItem(db),
        "/flavors/{flavor_id}/action": flavors.FlavorAction(db),
        "/flavors/{flavor_id}/os-flavor-access": flavors.FlavorAccess(db),
        "/flavors/{flavor_id}/os-extra_specs": flavors.ExtraSpecs(db),
        "/flavors/{flavor_id}/os-extra_specs/{key}": flavors.ExtraSpec(db),
    }


def _keypairs(services: Services) -> dict[str, Any]:
    db = services.fabric.api_db
    return {
        "/os-keypairs": keypairs.Keypairs(db, services.conf.api.max_limit, Quotas(db, services.conf)),
        "/os-keypairs/{name}": keypairs.KeypairItem(db),
    }


def _server_groups(services: Services) -> dict[str, Any]:
    db = services.fabric.api_db
    return {
        "/os-server-groups": server_groups.ServerGroups(db, services.conf.api.max_limit, Quotas(db, services.conf)),
        "/os-server-groups/{group_id}": server_groups.ServerGroupItem(db),
    }


def _hosts(services: Services) -> dict[str, Any]:
    hosts = HostLists(services.fabric.api_db, services.fabric.cells, lambda: services.conf.compute.service_down_time)
    db, max_limit = services.fabric.api_db, services.conf.api.max_limit
    return {
        "/os-aggregates": aggregates.Aggregates(db, hosts),
        "/os-aggregates/{id}": aggregates.AggregateItem(db, hosts),
        "/os-aggregates/{id}/action": aggregates.AggregateAction(db, hosts),
        "/os-availability-zone": availability_zones.Zones(hosts),
        "/os-availability-zone/detail": availability_zones.ZonesDetail(hosts),
        "/os-hypervisors": hypervisors.Hypervisors(hosts, max_limit),
        "/os-hypervisors/detail": hypervisors.HypervisorsDetail(hosts, max_limit),
        "/os-hypervisors/statistics": hypervisors.Statistics(hosts),
        "/os-hypervisors/{key}": hypervisors.HypervisorItem(hosts),
        "/os-hypervisors/{key}/uptime": hypervisors.Uptime(hosts),
        "/os-hypervisors/{key}/search": hypervisors.Search(hosts),
        "/os-hypervisors/{key}/servers": hypervisors.Servers(hosts),
        "/os-services": service_resources.ServicesList(hosts),
        "/os-services/{service}": service_resources.ServiceItem(hosts),
    }


def _facts(services: Services) -> dict[str, Any]:
    held = Quotas(services.fabric.api_db, services.conf)
    return {
        "/limits": limits.Limits(held),
        "/os-quota-sets/{id}": quotas.QuotaSet(held, services.identity),
        "/os-quota-sets/{id}/detail": quotas.QuotaSetDetail(held, services.identity),
        "/os-quota-sets/{id}/defaults": quotas.QuotaSetDefaults(held, services.identity),
        "/os-quota-class-sets/{id}": quotas.QuotaClassSet(held),
        "/extensions": extensions.Extensions(),
        "/extensions/{alias}": extensions.ExtensionItem(),
    }


def _ours(services: Services) -> dict[str, Any]:
    """Return what we add to the Compute API; nothing of ours is anywhere else in it."""
    return {
        "/tenter/operations": operations.Operations(services),
        "/tenter/placement/dry-run": dry_run.DryRun(services),
        "/tenter/operations/{operation_id}": operations.Operation(services),
        "/tenter/operations/{operation_id}/placement": placement.OperationPlacement(services),
        "/tenter/servers/{server_id}/placement": placement.ServerPlacement(services),
    }


def add_routes(app: falcon.App[Any, Any], services: Services) -> None:
    """Mount the Compute API on the application, with and without the project in the URL."""
    app.add_route("/", versions.VersionList())
    app.add_route(COMPUTE_PREFIX, versions.VersionItem())
    for path, resource in table(services).items():
        app.add_route(COMPUTE_PREFIX + path, resource)
        app.add_route(COMPUTE_PREFIX + "/{project_id}" + path, resource)
