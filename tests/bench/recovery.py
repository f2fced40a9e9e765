"""How soon work goes on after kill -9 (or SIGSTOP) of the process that owns a step: within the lease and a second."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from cloud import Cloud, arguments, report, running, server_body
from takeover import Pair

LEASE = 10.0
TARGET = LEASE + 1
SPAWN = 2.0


def status_of(cloud: Cloud, server: str) -> str | None:
    """Return the server's status, None while the API does not answer."""
    try:
        code, body, _ = cloud.client().request("GET", f"/v2.1/servers/{server}")
    except OSError:
        return None
    return str(json.loads(body)["server"]["status"]) if code == 200 else None


def kill_during_spawn(cloud: Cloud, image: str, number: int) -> float:
    """Kill the worker in the middle of a spawn; return the seconds until the build has ended, less the spawn."""
    _, body, _ = cloud.client().request("POST", "/v2.1/servers", server_body(f"kill-{number}", image))
    server = json.loads(body)["server"]["id"]
    time.sleep(SPAWN / 2)
    os.kill(cloud.pids()[1], signal.SIGKILL)
    began = time.perf_counter()
    while time.perf_counter() - began < 60:
        seen = status_of(cloud, server)
        if seen == "ACTIVE":
            return time.perf_counter() - began - SPAWN
        if seen == "ERROR":
            raise RuntimeError(f"server {server} went to ERROR")
        time.sleep(0.02)
    raise RuntimeError(f"server {server} is stuck")


def strike(number: signal.Signals, runs: int) -> list[float]:
    """Send a signal to one of two conductors that has a step; return the seconds until the other has taken it."""
    directory = Path(tempfile.mkdtemp(prefix="tenter-bench-"))
    pair = Pair(directory, LEASE)
    try:
        return [pair.strike(number, renewed=run % 2 == 1) for run in range(runs)]
    finally:
        pair.close()
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Kill a few times, and stop a few times."""
    args = arguments(__doc__ or "")
    config = f"[fake]\nspawn_delay = {SPAWN}\n[operations]\nlease = {LEASE}\n"
    with running(config=config) as cloud:
        image = cloud.upload_image(os.urandom(1 << 16))
        times = [kill_during_spawn(cloud, image, number) for number in range(args.runs)]
    killed, stopped = strike(signal.SIGKILL, args.runs), strike(signal.SIGSTOP, args.runs)
    rows: list[tuple[str, Any]] = [
        (label, ", ".join(f"{one:.2f} s" for one in measured))
        for label, measured in (
            ("worker of tenter up killed, restarted", times),
            ("one of two conductors killed", killed),
            ("one of two conductors stopped", stopped),
        )
    ]
    longest = max(times + killed + stopped)
    report("recovery", rows, f"{longest:.2f} s at most until work went on (within {TARGET:.0f})",
           {"recovery_s": times, "killed_s": killed, "stopped_s": stopped, "lease_s": LEASE, "target": TARGET},
           args.json)  # fmt: skip


if __name__ == "__main__":
    main()
