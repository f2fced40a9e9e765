"""The compute service: brings its host up, reports it, and runs the steps of role compute."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from tenter import errors, objects, plugins
from tenter.cells import Cell
from tenter.compute import guest_audit, power_sync
from tenter.compute.guests import Guests
from tenter.compute.reaper import Reaper
from tenter.contracts.image import ImageDriver
from tenter.contracts.network import InitHostRequest, NetworkDriver
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    GuestRef,
    HostSetup,
    NodeInventory,
    SupportsConsoleOutput,
    VirtDriver,
)
from tenter.operations import moments
from tenter.operations.fabric import Fabric
from tenter.operations.kinds import all_kinds
from tenter.operations.membership import Member
from tenter.operations.model import COMPUTE
from tenter.operations.runner import Runner, Source
from tenter.store import aggregates, cell_schema, hosts, instances, nodes, presence, server_groups

LOG = logging.getLogger(__name__)


class ComputeEndpoint:
    """What others may call on a host, through the bus."""

    def __init__(self, virt: VirtDriver, max_bytes: int) -> None:
        self._virt, self._max_bytes = virt, max_bytes

    def console_output(self, instance: objects.Instance, lines: int | None) -> str:
        """Return the end of the guest's serial console log as text."""
        if not isinstance(self._virt, SupportsConsoleOutput):
            raise errors.CapabilityMissing("This host's driver keeps no console log.")
        raw = self._virt.console_output(
            ConsoleOutputRequest(GuestRef(instance.uuid, instance.handle), self._max_bytes)
        )
        text = raw.decode("utf-8", "replace")
        if lines is None or lines < 0:
            return text
        return "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""


class ComputeService:
    """One host of one cell."""

    def __init__(
        self,
        fabric: Fabric,
        cell: Cell,
        virt: VirtDriver,
        network: NetworkDriver,
        image: ImageDriver,
        on_lost: Callable[[str], None] = lambda why: None,
    ) -> None:
        """``on_lost`` is told, in a sentence, that another process has this host's identity; no more work is taken."""
        self._on_lost = on_lost
        self._fabric, self._cell, self._virt, self._network = fabric, cell, virt, network
        self._conf = fabric.conf
        self.host: str = self._conf.host
        self._member = Member(
            cell.db, cell_schema.services, fabric.state_dir, presence.COMPUTE, self.host,
            self._conf.compute.report_interval, self._conf.compute.service_down_time, self._renamed,
        )  # fmt: skip
        self.uuid = self._member.uuid
        self._guests = Guests(
            self._conf, self.host, virt, network, image, self._wanted,
            lambda uuid: instances.exists(cell.db, uuid), fabric.hooks,
        )  # fmt: skip
        self._reaper = Reaper(cell.db, self.uuid, self.host, self._guests)
        self._runner = Runner(
            COMPUTE, self.host, [Source(cell.db, cell_schema.operations, cell.uuid)], all_kinds(), fabric.bus,
            fabric.cells, self._conf, self._conf.compute.workers, host_side=self._guests, guard=self._reaper,
            hooks=fabric.hooks,
        )  # fmt: skip
        self._stopped = threading.Event()
        self._threads = [
            self._every(self._conf.compute.report_interval, self.report),
            self._every(self._conf.compute.power_sync_interval, self._sync),
            self._every(self._conf.compute.report_interval, self._reap),
            self._every(self._conf.compute.guest_audit_interval, self.audit),
        ]

    def start(self, stopped: threading.Event | None = None) -> None:
        """Make the host ready and take work.

        Raises what the drivers raise if it cannot be made ready, and Conflict if another compute runs with this one's
        identity, name or nodes, or its servers are on a node that is lost; ``stopped`` ends waiting for that.
        """
        self._member.join(stopped)
        with plugins.starting("network", self._conf.network_driver):
            wired = self._network.init_host(InitHostRequest(self.host))
        with plugins.starting("virt", self._conf.virt_driver):
            self._virt.init_host(HostSetup(self.host, wired.namespace, wired.mode))
            plugins.described(self._virt)
        found = self._nodes()
        try:
            self._admit(found)
        except errors.Conflict:
            self._member.leave()
            nodes.withdraw(self._cell.db, self.uuid)
            self._virt.close()
            raise
        self._member.report()  # the drivers may have taken long
        self._record(found)
        self._reap()
        self._sync()
        self._fabric.bus.serve(self.host, ComputeEndpoint(self._virt, self._conf.compute.console_bytes))
        self._runner.start(sole=True)
        self._audit_quietly()
        for thread in self._threads:
            thread.start()
        LOG.info("Compute %s is up with driver %s", self.host, self._virt.describe().name)
        moments.service_up(self._fabric.hooks, COMPUTE, self.host)

    def stop(self, timeout: float) -> None:
        """Take no more work, finish what runs within ``timeout`` seconds; guests go on running."""
        self._stopped.set()
        self._runner.stop(timeout)
        self._member.leave()
        moments.service_down(self._fabric.hooks, COMPUTE, self.host, "stopped")
        self._guests.close()
        plugins.close("virt", self._conf.virt_driver, self._virt)
        plugins.close("network", self._conf.network_driver, self._network)

    def report(self) -> None:
        """Write this host's sign of life and what it has."""
        found = self._nodes()
        try:
            self._member.report()
            self._admit(found)
        except errors.Conflict as exc:
            self._stopped.set()
            self._on_lost(str(exc))
            raise
        self._record(found)

    def _renamed(self, connection: sa.Connection, earlier: str, host: str) -> None:
        # First where it is committed at once: if the cell's transaction then fails, the next start does all again.
        aggregates.rename_host(self._fabric.api_db, earlier, host)
        server_groups.rename_host(self._fabric.api_db, earlier, host)
        hosts.rename(connection, earlier, host)

    def _record(self, found: list[NodeInventory]) -> None:
        conf = self._conf.compute
        ratios = {
            "VCPU": conf.cpu_allocation_ratio,
            "MEMORY_MB": conf.ram_allocation_ratio,
            "DISK_GB": conf.disk_allocation_ratio,
        }
        hosts.report_nodes(
            self._cell.db, self.uuid, self.host, conf.availability_zone, self._virt.describe(), found, ratios
        )

    def _nodes(self) -> list[NodeInventory]:
        kept = {"MEMORY_MB": self._conf.compute.reserved_host_memory_mb}
        return [dataclasses.replace(node, reserved={**kept, **node.reserved}) for node in self._virt.inventory()]

    def _admit(self, found: list[NodeInventory]) -> None:
        nodes.admit(self._cell.db, self.uuid, found, self._conf.compute.service_down_time)

    def audit(self) -> None:
        """Compare the guests on this host with what is recorded; what does not fit is kept with the node."""
        destroy = self._conf.compute.unknown_guests == "destroy"
        guest_audit.report(self._cell.db, self.uuid, self._virt, self._runner.works_on, destroy)

    def _audit_quietly(self) -> None:
        try:
            self.audit()
        except errors.TenterError as exc:
            LOG.warning("The guests cannot be compared with the records now: %s", exc)

    def _reap(self) -> None:
        self._reaper.reap(self._runner.works_on)

    def _wanted(self, uuid: str) -> bool:
        return instances.is_wanted(self._cell.db, uuid, self.host)

    def _sync(self) -> None:
        power_sync.sync(self._cell.db, self.host, self._virt, self._fabric.hooks)

    def _every(self, interval: float, work: Callable[[], Any]) -> threading.Thread:
        def loop() -> None:
            while not self._stopped.wait(interval):
                began = time.monotonic()
                try:
                    work()
                except Exception as exc:
                    LOG.warning("%s failed: %s", work.__name__, exc)
                if time.monotonic() - began > interval:
                    LOG.warning("%s took longer than its interval of %.0f s", work.__name__, interval)

        return threading.Thread(target=loop, name=f"compute-{work.__name__}", daemon=True)
