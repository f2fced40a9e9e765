"""Memory of all that ``tenter up --driver fake`` runs, idle: proportional set size (PSS)."""

from __future__ import annotations

import time
from pathlib import Path

from cloud import arguments, report, running

TARGET = 200.0


def pss(pid: int) -> float:
    """Return the PSS of a process in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Start, let it rest, and add up."""
    args = arguments(__doc__ or "")
    with running() as cloud:
        cloud.client().get("/v2.1/servers/detail")
        time.sleep(3)
        each = {pid: pss(pid) for pid in cloud.pids()}
    total = sum(each.values())
    rows = [(f"process {number}", f"{value:.1f} MiB") for number, value in enumerate(each.values(), 1)]
    report("memory", rows, f"{total:.0f} MiB PSS, idle (at most {TARGET:.0f})",
           {"pss_mib": total, "processes_mib": list(each.values()), "target": TARGET}, args.json)  # fmt: skip


if __name__ == "__main__":
    main()
