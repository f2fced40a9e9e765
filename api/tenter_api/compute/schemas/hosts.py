"""Requests about hypervisors, services and limits."""

from __future__ import annotations

from tenter_api.compute.schemas.parameters import BOOLEAN, HOST, NON_NEGATIVE, TEXT, closed, query, single

_PAGE = {"limit": NON_NEGATIVE, "marker": TEXT}
_WITH_SERVERS = {"with_servers": BOOLEAN}
HYPERVISORS_QUERY = {
    1: query({}),
    33: query(_PAGE),
    53: single(query({**_PAGE, **_WITH_SERVERS, "hypervisor_hostname_pattern": HOST}, strict=True)),
}
HYPERVISOR_QUERY = {1: query({}), 53: single(query(_WITH_SERVERS, strict=True))}
OPEN_QUERY = {1: query({})}

_SERVICES = {"host": TEXT, "binary": TEXT}
SERVICES_QUERY = {1: query(_SERVICES), 75: query(_SERVICES, strict=True)}
_TENANT = {"tenant_id": TEXT}
LIMITS_QUERY = {1: query(_TENANT), 75: query(_TENANT, strict=True)}

_REASON = {"type": "string", "minLength": 1, "maxLength": 255}
_NAMED = {
    "host": HOST,
    "binary": {"type": "string", "minLength": 1, "maxLength": 255},
    "disabled_reason": _REASON,
}
SERVICE_UPDATE = {
    1: closed(_NAMED, "host", "binary"),
    11: closed({**_NAMED, "forced_down": BOOLEAN}, "host", "binary"),
    53: closed(
        {
            "status": {"type": "string", "enum": ["enabled", "disabled"]},
            "disabled_reason": _REASON,
            "forced_down": BOOLEAN,
        }
    ),
}
