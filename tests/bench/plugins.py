"""What plugins cost: ``tenter up`` with 200 that are installed, but not enabled, against none; and calls of hooks.

Each of the 200 has a virt driver, a filter and options of its own, in a distribution of its own; all are in one
directory of the path, as they would be in site-packages. Starts with and without them take turns, each on the same
state directory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import hook_calls
from cloud import Cloud, arguments, median, report
from tests.helpers import distributions

COUNT = 200
TARGET = 1.15
"""At most this many times the start without them."""

MODULE = """
    from oslo_config import cfg
    from tenter.contracts.filter import ACCEPT, HostFilter

    OPTIONS = [cfg.IntOpt("size", default=3, help="How large.")]

    class Filter(HostFilter):
        contract = "filter 1.0"

        def accepts(self, host, request):
            return ACCEPT

    def list_opts():
        return [(__name__, OPTIONS)]
"""


def install(directory: Path) -> None:
    """Install the distributions, as pip would have."""
    for number in range(COUNT):
        name = f"acme{number:03}"
        groups = {
            "tenter.virt": {name: f"{name}:Driver"},
            "tenter.scheduler.filters": {name.title(): f"{name}:Filter"},
            "oslo.config.opts": {f"tenter.{name}": f"{name}:list_opts"},
        }
        distributions.install(directory, f"tenter-{name}", groups, {f"{name}.py": MODULE}, requires=["tenter"])


@contextlib.contextmanager
def on_the_path(directory: Path) -> Iterator[None]:
    """Let the processes that are started find what is installed in a directory."""
    before = os.environ.get("PYTHONPATH")
    os.environ.update(distributions.environment(directory))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def start_up(directory: Path, runs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of starts without and with the plugins."""
    nothing, many = directory / "nothing", directory / "many"
    nothing.mkdir()
    install(many)
    with on_the_path(many):
        found = "from tenter import plugins; assert len(plugins.names('virt')) > " + str(COUNT)
        subprocess.run([sys.executable, "-c", found], check=True)
    times: dict[Path, list[float]] = {nothing: [], many: []}
    for run in range(runs + 1):
        for installed in (nothing, many) if run % 2 else (many, nothing):
            cloud = Cloud(directory / "state")
            with on_the_path(installed):
                seconds = cloud.start()
            cloud.stop()
            if run:  # the first makes the state and compiles modules
                times[installed].append(seconds)
    return times[nothing], times[many]


def main() -> None:
    """Measure, and compare pair by pair."""
    args = arguments(__doc__ or "")
    directory = Path(tempfile.mkdtemp(prefix="tenter-bench-"))
    try:
        without, with_many = start_up(directory, args.runs)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    calls = hook_calls.measure()
    ratio = median([more / less for more, less in zip(with_many, without, strict=True)])
    rows = [
        ("tenter up without, median", f"{median(without):.2f} s"),
        (f"tenter up with {COUNT} plugins, median", f"{median(with_many):.2f} s"),
        *hook_calls.rows(calls),
    ]
    figure = f"{ratio:.2f} times the start without (at most {TARGET}), {calls['over_us']:.1f} µs a hook call"
    values = {"without_s": without, "with_s": with_many, "ratio": ratio, "target": TARGET, "hook_calls": calls}
    report("plugins", rows, figure, values, args.json)


if __name__ == "__main__":
    main()
