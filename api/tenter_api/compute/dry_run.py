"""``/tenter/placement/dry-run``: would it fit, and what is the nearest that would? An addition of ours."""

from __future__ import annotations

import falcon

from tenter.operations.fitting import Fitting, as_json
from tenter_api.compute.resource import READER, operation
from tenter_api.compute.schemas import dry_run as schemas
from tenter_api.compute.server_create import ServerCreator
from tenter_api.compute.servers import caller_of
from tenter_api.services import Services


class DryRun:
    """The question. Nothing is made, claimed or recorded."""

    def __init__(self, services: Services) -> None:
        self._creator = ServerCreator(services)
        self._fitting = Fitting(services.fabric)

    @operation(role=READER, body={1: schemas.DRY_RUN})
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say how many servers of a body such as for ``POST /servers`` would fit now, and if none, what would."""
        caller = caller_of(req)
        wanted = self._creator.wanted(req.context.body, caller)
        found = self._fitting.ask(
            wanted.flavor.to_mapping(), caller.project_id, wanted.count, group_of=caller.project_id,
            properties=wanted.properties, image_ref=wanted.image_id, zone=wanted.zone, hints=wanted.hints,
            spec={"forced_host": wanted.host, "forced_node": wanted.node},
        )  # fmt: skip
        resp.media = {"dry_run": as_json(found, hosts=caller.is_admin)}
