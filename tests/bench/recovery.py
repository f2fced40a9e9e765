"""How soon work goes on after kill -9 of the process that owns a step: within the lease and a second."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from cloud import Cloud, arguments, median, report, running, server_body

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


def main() -> None:
    """Kill a few times."""
    args = arguments(__doc__ or "")
    config = f"[fake]\nspawn_delay = {SPAWN}\n[operations]\nlease = {LEASE}\n"
    with running(config=config) as cloud:
        image = cloud.upload_image(os.urandom(1 << 16))
        times = [kill_during_spawn(cloud, image, number) for number in range(args.runs)]
    rows: list[tuple[str, Any]] = [("each run", ", ".join(f"{one:.2f} s" for one in times))]
    report("recovery", rows, f"{median(times):.2f} s until work went on (within {TARGET:.0f})",
           {"recovery_s": times, "lease_s": LEASE, "target": TARGET}, args.json)  # fmt: skip


if __name__ == "__main__":
    main()
