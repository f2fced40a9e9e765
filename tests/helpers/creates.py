"""Creates of servers on an API database alone, here or as ``python -m tests.helpers.creates FILE TIMES``."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from tenter import errors
from tenter.bus import InProcessBus
from tenter.cells import Cells
from tenter.conf import new_conf
from tenter.contracts.image import Image
from tenter.objects import Flavor
from tenter.operations.requests import Caller, Created, CreateServers, Requests
from tenter.store import quota
from tenter.store.engine import Database, sqlite_url

USER = "u"
_IMAGE = Image(
    id="22222222-2222-4222-8222-222222222222", name="tiny", owner="p", status="active", visibility="public",
    disk_format="raw", container_format="bare", size=1, created_at="2026-01-01T00:00:00Z",
    updated_at="2026-01-01T00:00:00Z",
)  # fmt: skip
_FLAVOR = Flavor(
    id=1, flavorid="1", name="small", vcpus=2, memory_mb=512, root_gb=1, ephemeral_gb=0, swap=0, rxtx_factor=1.0,
    is_public=True, disabled=False, description=None, extra_specs={},
)  # fmt: skip


class Creator:
    """Asks for servers of 2 vCPUs and 512 MiB; nobody builds them."""

    def __init__(self, db: Database) -> None:
        self._conf, self._db = new_conf(), db
        self._requests = Requests(self._conf, db, Cells(db, []), InProcessBus())

    def limit(self, **limits: int) -> None:
        """Limit project p."""
        quota.Quotas(self._db, self._conf).set_limits("p", limits, force=True)

    def create(self, least: int = 1, most: int | None = None, project: str = "p", group: str | None = None) -> Created:
        """Ask for servers, in a server group if one is given."""
        request = CreateServers(
            name="s", flavor=_FLAVOR, image=_IMAGE, min_count=least, max_count=max(most or least, least),
            hints={} if group is None else {"group": group},
        )  # fmt: skip
        return self._requests.create(_caller(project), request)

    def delete(self, uuid: str) -> None:
        """Delete a server of project p."""
        self._requests.delete(_caller("p"), uuid)


def _caller(project: str) -> Caller:
    return Caller(user_id=USER, project_id=project, request_id="req-1")


def main(path: str, times: int) -> int:
    """Create ``times`` servers in parallel, from when a line comes; return how many were allowed."""
    creator = Creator(Database(sqlite_url(path)))
    print("ready", flush=True)
    sys.stdin.readline()

    def once(number: int) -> int:
        try:
            return len(creator.create().uuids)
        except errors.QuotaExceeded:
            return 0

    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(once, range(times)))


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
