"""More hosts in the process of one cloud."""

from __future__ import annotations

import dataclasses
from typing import Any

from tenter import plugins
from tenter.compute.service import ComputeService
from tenter.conf import new_conf
from tenter.contracts.virt import VirtDriver
from tenter.store import presence, services
from tenter.store.engine import Database
from tests.helpers.cloud import Cloud, write_conf


def set_service(db: Database, host: str, **values: Any) -> None:
    """Change the compute service of a host as the API does; the scheduler hears of it."""
    for service in services.list_services(db, 60.0, host, presence.COMPUTE):
        services.update_service(db, service["uuid"], **values)


class Host:
    """One more compute, with fake guests of its own, on the network and images of the cloud."""

    def __init__(self, cloud: Cloud, name: str, **sections: Any) -> None:
        self.cloud, self.name = cloud, name
        self.state_dir = cloud.state_dir / name
        self.state_dir.mkdir()
        merged = {key: dict(values) for key, values in cloud.sections.items()}
        for key, values in sections.items():
            merged.setdefault(key, {}).update(values)
        merged.setdefault("DEFAULT", {})["host"] = name
        self.conf = new_conf([str(write_conf(self.state_dir / "test.conf", merged))], self.state_dir)

    def start(self) -> Host:
        """Start the compute, as a new process would."""
        fabric = dataclasses.replace(self.cloud.fabric, conf=self.conf, state_dir=self.state_dir)
        self.virt: Any = plugins.load("virt", "fake", VirtDriver, self.conf, self.state_dir, self.name)
        drivers = self.cloud.embedded
        self.service = ComputeService(fabric, self.cloud.cell, self.virt, _kept_open(drivers.network), drivers.image)
        self.service.start()
        return self

    def freeze(self) -> None:
        """Stop taking work, as a process that was killed: nothing is handed over."""
        runner = self.service._runner
        self.service._stopped.set()
        with runner._bell:
            runner._stopping = True
            runner._bell.notify_all()

    def declare_down(self, down: bool = True) -> None:
        """Say of the host that it is down, or no longer."""
        set_service(self.cloud.cell.db, self.name, forced_down=down)

    def guests(self) -> set[str]:
        """Return the guests there are on the host's disk."""
        return {path.stem for path in (self.state_dir / "virt" / "fake" / "guests").glob("*.json")}


class _kept_open:
    """The cloud's network driver, which a host that stops does not close."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def close(self) -> None:
        """Leave it open."""
