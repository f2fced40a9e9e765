"""Runs benchmarks one after the other, and puts their figures into one JSON file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BENCHES = Path(__file__).parents[2] / "tests" / "bench"


def main(argv: list[str]) -> int:
    """Run the benchmarks named before ``--`` with the options after it; return the first exit code that is not 0."""
    at = argv.index("--") if "--" in argv else len(argv)
    names, options = argv[:at], argv[at + 1 :]
    target = None
    if "--json" in options:
        where = options.index("--json")
        target = Path(options[where + 1])
        del options[where : where + 2]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    figures, status = {}, 0
    with tempfile.TemporaryDirectory(prefix="tenter-bench-") as directory:
        for name in names:
            part = Path(directory, f"{name}.json")
            command = [sys.executable, str(BENCHES / f"{name}.py"), *options, "--json", str(part)]
            code = subprocess.run(command, env=environment, check=False).returncode
            status = status or code
            if part.exists():
                figures[name] = json.loads(part.read_text())
    if target is not None:
        target.write_text(json.dumps(figures[names[0]] if list(figures) == names[:1] else figures, indent=1) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
