"""``tools/chaos``: a cloud of many processes under load while they are killed; exit code 0 if nothing is broken."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.fleet import Fleet
from tests.chaos.invariants import Check, Watch, ends, settle, told
from tests.chaos.load import Client, Promises, User
from tests.chaos.monkey import Monkey


def main(argv: list[str] | None = None) -> int:
    """Run it as the arguments say."""
    parser = argparse.ArgumentParser(prog="tools/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long to load and kill (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="what is killed when follows from it (default 1)")
    parser.add_argument("--lease", type=float, default=3.0, help="seconds; the product's default is 10 (default 3)")
    parser.add_argument("--users", type=int, default=4, help="how many ask at once (default 4)")
    parser.add_argument("--rate", type=float, default=8.0, help="requests a second, of all users (default 8)")
    parser.add_argument("--keep", action="store_true", help="keep databases and logs; they are kept if something broke")
    args = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="tenter-chaos-"))
    fleet = Fleet(directory, args.lease)
    broken = ["interrupted"]
    try:
        broken = run(fleet, args)
    finally:
        fleet.kill()
        if args.keep or broken:
            print(f"databases and logs: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if broken else 0


def run(fleet: Fleet, args: argparse.Namespace) -> list[str]:
    """Load and kill, then let it settle, check, and print; return a line for each thing that is broken."""
    fleet.start()
    clients = [Client(fleet.port, fleet.shared / "clouds.yaml") for _ in range(args.users)]
    for client in clients:
        client.login()
    image, promises, stop, rng = clients[0].image(), Promises(), threading.Event(), random.Random(args.seed)
    users = [
        User(client, image, promises, random.Random(rng.random()), args.rate / args.users, stop) for client in clients
    ]
    monkey, watch = Monkey(fleet, random.Random(rng.random()), stop), Watch(fleet)
    for thread in (watch, *users, monkey):
        thread.start()
    time.sleep(args.minutes * 60)
    stop.set()
    for thread in (*users, monkey):
        thread.join()
    fleet.calm()
    began = time.monotonic()
    left = settle(fleet, 6 * args.lease + 90)
    settled = time.monotonic() - began
    watch.end()
    # What was deleted must not come back, and what guests do must have been seen.
    time.sleep(max(3.0, args.lease))
    left += settle(fleet, args.lease)
    invariants = {"every operation ended, no server in a task state, nothing left to reap": left} if left else {}
    invariants |= Check(fleet).run(promises)
    fleet.stop()
    invariants |= {"answers": promises.broken} if promises.broken else {}
    invariants |= {"processes end only when told to": fleet.odd} if fleet.odd else {}
    invariants |= {"the monkey": [monkey.failed]} if monkey.failed else {}
    _print(fleet, promises, monkey, watch, settled, args)
    broken = told(invariants)
    for line in broken:
        print(line)
    print(f"{monkey.kills} kills, {len(invariants)} invariants broken")
    return broken


def _print(
    fleet: Fleet, promises: Promises, monkey: Monkey, watch: Watch, settled: float, args: argparse.Namespace
) -> None:
    console = Console(width=110)
    faults = Table("fault", "times", title=f"seed {args.seed}, {args.minutes:g} minutes, lease {args.lease:g} s")
    for kind, count in sorted(monkey.done.items()):
        faults.add_row(kind, str(count))
    faults.add_row("in all", str(sum(monkey.done.values())))
    states = ("done", "failed", "cancelled", "queued", "running")
    operations = Table("operation", *states)
    for kind, ended in sorted(ends(fleet).items()):
        operations.add_row(kind, *(str(ended[state]) for state in states))
    answers = Table("request: answer", "times")
    for answer, count in sorted(promises.answers.items()):
        answers.add_row(answer, str(count))
    for table in (faults, operations, answers):
        console.print(table)
    print(f"leases that ran out: {watch.recovered}, longest recovery: {watch.longest:.1f} s after the last renewal")
    print(f"all settled {settled:.1f} s after the end of the load")


if __name__ == "__main__":
    sys.exit(main())
