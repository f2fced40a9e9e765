"""Version documents of the Compute API."""

from __future__ import annotations

from typing import Any

import falcon

from tenter_api.microversion import MAX_VERSION, MIN_VERSION

UPDATED = "2013-07-23T11:33:21Z"


def version_entry(base_url: str) -> dict[str, Any]:
    """Return v2.1 as the list of versions shows it."""
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": str(MAX_VERSION),
        "min_version": str(MIN_VERSION),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{base_url}/v2.1/"}],
    }


class VersionList:
    """``GET /``: which versions there are."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 with the list."""
        resp.media = {"versions": [version_entry(req.context.base_url)]}


class VersionItem:
    """``GET /v2.1/``: this version."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 with the document."""
        entry = version_entry(req.context.base_url)
        entry["links"].append(
            {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
        )
        entry["media-types"] = [
            {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
        ]
        resp.media = {"version": entry}
