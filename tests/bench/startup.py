"""From exec of ``tenter up --driver fake`` on an existing state directory to the first 200 on ``/``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cloud import Cloud, arguments, median, report

BARE = "import oslo_versionedobjects.base, oslo_config.cfg, falcon, sqlalchemy, stevedore, pluggy"
TARGET = 2.0


def _bare() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", BARE], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure both in turn, and compare pair by pair."""
    args = arguments(__doc__ or "")
    directory = Path(tempfile.mkdtemp(prefix="tenter-bench-"))
    try:
        first = Cloud(directory / "state")
        first_start = first.start()
        first.login()
        first.stop()
        bare, up = [_bare()], []
        bare.clear()
        for _ in range(args.runs):
            bare.append(_bare())
            cloud = Cloud(directory / "state")
            up.append(cloud.start())
            cloud.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    ratio = median([ours / theirs for ours, theirs in zip(up, bare, strict=True)])
    rows = [
        ("bare imports, median", f"{median(bare):.2f} s"),
        ("tenter up, median", f"{median(up):.2f} s"),
        ("tenter up, very first start", f"{first_start:.2f} s"),
    ]
    report("startup", rows, f"{ratio:.2f} times bare imports (at most {TARGET})",
           {"bare_s": bare, "up_s": up, "first_s": first_start, "ratio": ratio, "target": TARGET},
           args.json)  # fmt: skip


if __name__ == "__main__":
    main()
