"""Which resource answers below which path."""

from __future__ import annotations

from typing import Any

import falcon

from tenter.contracts.network import NetworkDriver, SupportsNetworkApi
from tenter_api.network import resources
from tenter_api.network.kinds import kinds


def add_routes(app: falcon.App[Any, Any], prefix: str, network: NetworkDriver) -> None:
    """Mount Network API v2.0 below ``prefix``, such as ``/network``.

    Nothing is mounted for a driver that does not manage networks itself (``SupportsNetworkApi``). Callers are
    known by ``req.context.identity``.
    """
    if not isinstance(network, SupportsNetworkApi):
        return
    v2 = f"{prefix}/v2.0"
    versions = resources.Versions(prefix)
    for path, suffix in ((prefix, None), (f"{prefix}/", None), (v2, "v2"), (f"{v2}/", "v2")):
        app.add_route(path, versions, suffix=suffix)
    for kind in kinds(network):
        app.add_route(f"{v2}/{kind.plural}", resources.Collection(kind))
        app.add_route(f"{v2}/{kind.plural}/{{id}}", resources.Item(kind))
    quotas = resources.Quotas(network)
    app.add_route(f"{v2}/quotas/{{id}}", quotas)
    app.add_route(f"{v2}/quotas/{{id}}/default", quotas)
    app.add_route(f"{v2}/quotas/{{id}}/details", quotas, suffix="details")
    app.add_route(f"{v2}/quotas/{{id}}/details.json", quotas, suffix="details")
    groups, extensions = resources.SecurityGroups(network), resources.Extensions()
    app.add_route(f"{v2}/security-groups", groups)
    app.add_route(f"{v2}/security-groups/{{id}}", groups, suffix="one")
    app.add_route(f"{v2}/extensions", extensions)
    app.add_route(f"{v2}/extensions/{{alias}}", extensions, suffix="one")
