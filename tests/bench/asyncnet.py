"""A guest is ready after max(A, P), not A + P: its network (A seconds) and its disk (P seconds) are made at once.

The host side of a build, with the fake virt driver (its delay is P) and the local network driver slowed by A.
"""

from __future__ import annotations

import random
import tempfile
import time
import uuid as uuidlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cloud import arguments, median, report

from tenter import objects, plugins
from tenter.compute.guests import Guests
from tenter.conf import new_conf
from tenter.contracts.image import Image, ImageDriver, ImportRequest
from tenter.contracts.network import VIF, AllocateRequest, CheckRequest, InitHostRequest, NetworkDriver
from tenter.contracts.virt import HostSetup, VirtDriver
from tenter.operations.records import instance_rows
from tenter.operations.requests import CreateServers

BUILDS, AT_ONCE, SLACK_MS = 50, 4, 50.0


class Slow:
    """A network driver whose allocations take as long as ``seconds`` says for the instance."""

    def __init__(self, driver: NetworkDriver, seconds: dict[str, float]) -> None:
        self._driver, self._seconds = driver, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        """Sleep, then allocate."""
        time.sleep(self._seconds[request.instance_uuid])
        return self._driver.allocate(request)


def overshoot(state_dir: Path, accepts: bool, seed: int) -> list[float]:
    """Return, for each build, by how much it took longer than it need, in seconds."""
    rng = random.Random(seed)
    conf = new_conf([], state_dir, virt_driver="fake")
    load = lambda kind, base: plugins.load(kind, conf[f"{kind}_driver"], base, conf, state_dir)  # noqa: E731
    virt, network, images = load("virt", VirtDriver), load("network", NetworkDriver), load("image", ImageDriver)
    data = state_dir / "bench.raw"
    data.write_bytes(bytes(1 << 16))
    image = images.import_file(ImportRequest(data, "bench", owner="bench", disk_format="raw"))
    conf.set_override("accepts_unfinished_network", accepts, "fake")
    conf.set_override("workers", AT_ONCE, "compute")
    wired = network.init_host(InitHostRequest("bench"))
    virt.init_host(HostSetup("bench", wired.namespace, wired.mode))
    delays: dict[str, float] = {}
    guests = Guests(conf, "bench", virt, Slow(network, delays), images)
    found: list[float] = []
    for _ in range(BUILDS // AT_ONCE + 1):
        allocation, provisioning = rng.uniform(0.2, 2), rng.uniform(0.2, 2)
        conf.set_override("spawn_delay", provisioning, "fake")
        need = max(allocation, provisioning) if accepts else allocation + provisioning
        with ThreadPoolExecutor(AT_ONCE) as pool:
            each = [pool.submit(build, guests, network, image, delays, allocation) for _ in range(AT_ONCE)]
            found += [one.result() - need for one in each]
    guests.close()
    return found[:BUILDS]


def build(guests: Guests, network: NetworkDriver, image: Image, delays: dict[str, float], allocation: float) -> float:
    """Make one guest and remove it; return the seconds until it was ready."""
    flavor = objects.Flavor(
        flavorid="1", name="tiny", vcpus=1, memory_mb=64, root_gb=0, ephemeral_gb=0, swap=0, rxtx_factor=1.0,
        is_public=True, disabled=False, description=None, extra_specs={}, projects=[], created_at=0.0, updated_at=None,
    )  # fmt: skip
    request = CreateServers("bench", flavor, image, network.check(CheckRequest("bench", None)))
    row = instance_rows("bench", "bench", request, "r-bench")[0]
    instance = objects.Instance.from_mapping({**row, "uuid": str(uuidlib.uuid4())})
    spec = objects.RequestSpec.obj_from_primitive(row["spec"]["request"])
    delays[instance.uuid] = allocation
    began = time.perf_counter()
    guests.spawn(instance, spec, {}, lambda: False)
    took = time.perf_counter() - began
    guests.destroy(instance)
    return took


def main() -> None:
    """Measure with a driver that takes an unfinished network, and with one that does not."""
    args = arguments(__doc__ or "")
    late: dict[bool, float] = {}
    rows = []
    for accepts in (True, False):
        with tempfile.TemporaryDirectory(prefix="tenter-bench-") as directory:
            late[accepts] = median(overshoot(Path(directory), accepts, seed=7)) * 1e3
        need = "max(A, P)" if accepts else "A + P"
        rows.append((f"median over {BUILDS} builds, {'side by side' if accepts else 'one after the other'}",
                     f"{need} + {late[accepts]:.0f} ms"))  # fmt: skip
    figure = f"max(A, P) + {late[True]:.0f} ms, A + P + {late[False]:.0f} ms (at most + {SLACK_MS:.0f})"
    values = {"side_by_side_ms": late[True], "in_turn_ms": late[False], "target_ms": SLACK_MS}
    report("asyncnet", rows, figure, values, args.json)


if __name__ == "__main__":
    main()
