"""200 servers on the fake driver by 8 clients, to ACTIVE; their delete; and how soon one POST is answered."""

from __future__ import annotations

import os
import time
from typing import Any

from cloud import Cloud, arguments, load, median, ms, percentile, report, running, server_body

SERVERS, CLIENTS, TARGET, POST_TARGET_MS = 200, 8, 100.0, 25.0


def wait(
    cloud: Cloud, prefix: str, status: str | None, count: int, limit: float = 120.0, pause: float = 0.05
) -> float:
    """Return the time at which ``count`` servers of that name have the status."""
    client = cloud.client()
    query = f"/v2.1/servers?name=%5E{prefix}&limit=1000" + (f"&status={status}" if status else "")
    until = time.perf_counter() + limit
    while time.perf_counter() < until:
        if len(client.get(query)["servers"]) == count:
            return time.perf_counter()
        time.sleep(pause)
    raise RuntimeError(f"not all {prefix} servers came to {status or 'their end'} within {limit:.0f} s")


def cpu_seconds(cloud: Cloud) -> float:
    """Return the CPU time that the cloud's processes have used."""
    total = 0
    for pid in cloud.pids():
        with open(f"/proc/{pid}/stat") as handle:
            fields = handle.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def delete_all(cloud: Cloud, prefix: str) -> float:
    """Delete the servers of that name by all clients; return the seconds until they are gone."""
    ids = [server["id"] for server in cloud.client().get(f"/v2.1/servers?name=%5E{prefix}&limit=1000")["servers"]]
    began = time.perf_counter()
    load(cloud, CLIENTS, len(ids), lambda i: ("DELETE", f"/v2.1/servers/{ids[i]}", None), 204)
    return wait(cloud, prefix, None, 0) - began


def burst(cloud: Cloud, image: str, prefix: str) -> dict[str, Any]:
    """Boot SERVERS servers and delete them; return the figures."""
    used = cpu_seconds(cloud)
    began = time.perf_counter()
    latencies, _ = load(
        cloud, CLIENTS, SERVERS, lambda i: ("POST", "/v2.1/servers", server_body(f"{prefix}-{i}", image)), 202
    )
    accepted = time.perf_counter() - began
    active = wait(cloud, prefix, "ACTIVE", SERVERS) - began
    cpu = cpu_seconds(cloud) - used
    gone = delete_all(cloud, prefix)
    return {
        "per_second": SERVERS / active, "accepted_s": accepted, "active_s": active,
        "deletes_per_second": SERVERS / gone, "post_p50_ms": percentile(latencies, 0.5) * 1e3,
        "cpu_ms": cpu / SERVERS * 1e3,
    }  # fmt: skip


def main() -> None:
    """One client first, then bursts."""
    args = arguments(__doc__ or "")
    with running() as cloud:
        image = cloud.upload_image(os.urandom(1 << 16))
        load(cloud, 1, 10, lambda i: ("POST", "/v2.1/servers", server_body(f"warm-{i}", image)), 202)
        wait(cloud, "warm", "ACTIVE", 10)
        delete_all(cloud, "warm")
        single: list[float] = []
        for index in range(30):
            latencies, _ = load(
                cloud, 1, 1, lambda i, n=index: ("POST", "/v2.1/servers", server_body(f"one-{n}", image)), 202
            )
            single += latencies
            wait(cloud, "one", "ACTIVE", index + 1)
        delete_all(cloud, "one")
        bursts = [burst(cloud, image, f"run{number}") for number in range(args.runs)]
    rate = median([one["per_second"] for one in bursts])
    post = percentile(single, 0.5)
    rows = [
        ("POST, one client, p50", f"{ms(post)} (under {POST_TARGET_MS:.0f} ms)"),
        ("POST, one client, p99", ms(percentile(single, 0.99))),
        (f"POST, {CLIENTS} clients, p50", f"{median([one['post_p50_ms'] for one in bursts]):.1f} ms"),
        ("servers a second, each run", ", ".join(f"{one['per_second']:.0f}" for one in bursts)),
        ("deletes a second, each run", ", ".join(f"{one['deletes_per_second']:.0f}" for one in bursts)),
        ("CPU of the cloud for one boot", f"{median([one['cpu_ms'] for one in bursts]):.1f} ms"),
    ]
    report("boot", rows, f"{rate:.0f} servers a second to ACTIVE (at least {TARGET:.0f})",
           {"per_second": rate, "post_p50_ms": post * 1e3, "bursts": bursts, "target": TARGET}, args.json)  # fmt: skip


if __name__ == "__main__":
    main()
