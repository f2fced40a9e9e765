"""One request for 1,000 servers on the fake driver, until all are ACTIVE."""

from __future__ import annotations

import os
import time

from boot import delete_all, wait
from cloud import arguments, median, report, running, server_body

SERVERS, TARGET = 1000, 12.0


def main() -> None:
    """Create, wait, delete; a few times."""
    args = arguments(__doc__ or "")
    active, accepted, gone = [], [], []
    with running() as cloud:
        image = cloud.upload_image(os.urandom(1 << 16))
        for number in range(args.runs):
            body = server_body(f"many{number}", image)
            body["server"].update(min_count=SERVERS, max_count=SERVERS)
            client = cloud.client()
            began = time.perf_counter()
            status, answer, _ = client.request("POST", "/v2.1/servers", body)
            if status != 202:
                raise RuntimeError(f"POST: {status} {answer[:300]!r}")
            accepted.append(time.perf_counter() - began)
            active.append(wait(cloud, f"many{number}", "ACTIVE", SERVERS, pause=0.25) - began)
            gone.append(delete_all(cloud, f"many{number}"))
    rows = [
        ("POST answered, median", f"{median(accepted):.2f} s"),
        ("all ACTIVE, each run", ", ".join(f"{one:.1f} s" for one in active)),
        ("all deleted by 8 clients, median", f"{median(gone):.1f} s"),
    ]
    report("multicreate", rows, f"{median(active):.1f} s to {SERVERS} ACTIVE servers (under {TARGET:.0f})",
           {"active_s": active, "accepted_s": accepted, "deleted_s": gone, "target": TARGET}, args.json)  # fmt: skip


if __name__ == "__main__":
    main()
