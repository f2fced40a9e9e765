"""A spawn that is killed in the middle (SIGKILL), in a process of its own.

The process ends itself where the driver first reads the network; with a driver that takes no unfinished network, where
it reads the image.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenter.contracts.network import NetworkInfo
from tenter.contracts.virt import Hardware, HostSetup, ImageSource, SpawnRequest, VirtDriver
from tenter.testing.base import Conformance


@dataclass(frozen=True)
class Recipe:
    """Which driver spawns what. ``root`` is the host's state directory; ``image``: id, format, size, checksum, file."""

    plugin: type[VirtDriver]
    kind: str
    options: dict[str, object]
    root: Path
    setup: HostSetup
    image: tuple[str, str, int, str, Path]
    uuid: str
    hardware: Hardware


def run(recipe: Recipe, timeout: float) -> subprocess.CompletedProcess[bytes]:
    """Return how the process ended; its return code is -9 if all went as it should."""
    # It finds the modules that this process finds, the plugin's among them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    return subprocess.run(
        [sys.executable, "-c", f"import {__name__} as module; module.main()"],
        input=pickle.dumps(recipe), env=environment, timeout=timeout, capture_output=True, check=False,
    )  # fmt: skip


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _DeadlyNetwork(NetworkInfo):
    def wait(self) -> tuple[Any, ...]:
        _die()
        return ()


def main() -> None:
    """Spawn what the recipe in standard input says, and die."""
    recipe: Recipe = pickle.load(sys.stdin.buffer)
    kit: Any = type("Kit", (Conformance,), {"plugin": recipe.plugin, "kind": recipe.kind, "options": recipe.options})
    driver = kit.construct(recipe.root, recipe.setup.host, {})
    driver.init_host(recipe.setup)
    lazy = driver.describe().accepts_unfinished_network
    id, disk_format, size, checksum, file = recipe.image

    def chunks() -> Iterator[bytes]:
        data = file.read_bytes()
        yield data[: len(data) // 2]
        if not lazy:
            _die()
        yield data[len(data) // 2 :]

    driver.spawn(SpawnRequest(
        uuid=recipe.uuid, name="interrupted", hostname="interrupted", project_id="project", user_id="user",
        hardware=recipe.hardware, image=ImageSource(id, "conformance", disk_format, size, checksum or None, chunks),
        network_info=_DeadlyNetwork() if lazy else NetworkInfo(),
    ))  # fmt: skip
    _die()
