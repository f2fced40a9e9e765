"""The ``tenter`` command: its sub-commands and their arguments."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tenter import __version__, errors

EPILOG = """\
examples:
  tenter up --driver fake          a whole cloud in this terminal, without a hypervisor
  tenter status                    is it up, and what does it hold
  tenter config sample             every option with its default

Exit codes: 0 done, 1 it could not be done (one line says why), 2 wrong arguments.
"""
PRINTS = {"audit", "cell", "config", "fit", "plugin", "status", "version"}
"""Commands that are done when they have printed what they have to say."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; man pages and shell completion are made from it."""
    parser = argparse.ArgumentParser(
        prog="tenter",
        description="A small cloud compute fabric controller that speaks the OpenStack Compute API.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tenter {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state-dir", metavar="DIR", help="directory of all state (default: [DEFAULT] state_dir)")
    common.add_argument(
        "--config-file", metavar="FILE", action="append", help="read FILE instead of the usual places; may be repeated"
    )
    common.add_argument(
        "--config-dir", metavar="DIR", action="append", help="read DIR/*.conf, after FILE; may be repeated"
    )

    up = commands.add_parser(
        "up", parents=[common], help="run the whole cloud in this process",
        description="Run API, conductor and compute in this process until Ctrl-C. Guests go on running; the next "
        "'tenter up' on the same state directory finds them again.",
    )  # fmt: skip
    up.add_argument("--port", type=int, metavar="N", help="port of the API on 127.0.0.1 (default: [api] port, 8774)")
    up.add_argument("--driver", metavar="NAME", help="virt driver: libvirt, fake, or any other that is installed")
    up.add_argument("--debug", action="store_true", help="log everything")
    up.add_argument("--reset-password", action="store_true", help="give the user admin a new password")

    _add_processes(commands, common)
    _add_cell(commands, common)
    commands.add_parser("status", parents=[common], help="say whether the cloud is up and what it holds")
    teardown = commands.add_parser(
        "teardown", parents=[common], help="take off this host what a cloud made there",
        description="End the daemons and remove the bridges, namespaces and files that the drivers of a state "
        "directory made on this host. Refuses while the cloud runs or has servers. The state directory stays, and the "
        "next 'tenter up' makes the rest anew.",
    )  # fmt: skip
    teardown.add_argument("--purge", action="store_true", help="remove all servers before, the state directory after")
    audit = commands.add_parser(
        "audit", parents=[common], help="find what does not fit, and repair it",
        description="Compare servers, claims, operations, places, quotas, ports and guests with each other. The cloud "
        "may run or not. Exit codes: 0 all fits, 1 all that did not was repaired, 2 something is left, 3 no audit was "
        "made.",
    )  # fmt: skip
    audit.add_argument("--repair", action="store_true", help="repair what can be proved to be wrong")
    audit.add_argument("--json", action="store_true", help="print what was found as JSON")
    _add_fit(commands, common)
    _add_decisions(commands, common)
    _add_plugin(commands, common)
    commands.add_parser("version", help="print versions of Tenter and of what it runs on")

    config = commands.add_parser("config", help="about the configuration")
    parts = config.add_subparsers(dest="part", metavar="PART", required=True)
    parts.add_parser("sample", help="print every option with its default and meaning, as a tenter.conf")
    return parser


def _add_processes(commands: Any, common: argparse.ArgumentParser) -> None:
    """The roles of ``tenter up`` as processes of their own."""
    service = argparse.ArgumentParser(add_help=False, parents=[common])
    service.add_argument("--debug", action="store_true", help="log everything")
    service.add_argument("--host", metavar="NAME", help="name of this host (default: [DEFAULT] host)")
    api = commands.add_parser(
        "api", parents=[service], help="serve the API in processes of its own",
        description="Serve the API with a master process and workers, over the databases that all processes share.",
    )  # fmt: skip
    api.add_argument("--workers", type=int, metavar="N", help="worker processes (default: [api] workers, 2)")
    api.add_argument("--port", type=int, metavar="N", help="port to listen on (default: [api] port, 8774)")
    api.add_argument("--reset-password", action="store_true", help="give the user admin a new password")
    commands.add_parser(
        "conductor", parents=[service], help="run a conductor; any number may run, each with a --state-dir of its own",
        description="Run a conductor: it schedules builds and drives operations, in the API database and in all cells.",
    )  # fmt: skip
    compute = commands.add_parser(
        "compute", parents=[service], help="run the compute of one host of a cell",
        description="Run the compute of this host. It is known by the key in its state directory, never by its name, "
        "and appears in its cell by itself.",
    )  # fmt: skip
    compute.add_argument("--cell", metavar="NAME", required=True, help="the cell that this host is in")
    compute.add_argument("--driver", metavar="NAME", help="virt driver: libvirt, fake, or any other that is installed")


def _add_cell(commands: Any, common: argparse.ArgumentParser) -> None:
    cell = commands.add_parser("cell", help="add, list, disable and enable cells")
    parts = cell.add_subparsers(dest="part", metavar="PART", required=True)
    add = parts.add_parser("add", parents=[common], help="make a cell; its database is made, or brought up to date")
    add.add_argument("--database", metavar="URL", help="its SQLAlchemy URL (default: the file NAME.sqlite)")
    parts.add_parser("list", parents=[common], help="list the cells, with their hosts and servers")
    disable = parts.add_parser("disable", parents=[common], help="put no new servers into a cell; those in it stay")
    enable = parts.add_parser("enable", parents=[common], help="put new servers into a cell again")
    for part in (add, disable, enable):
        part.add_argument("name", metavar="NAME", help="the cell's name")


def _add_decisions(commands: Any, common: argparse.ArgumentParser) -> None:
    """What was decided about servers, and why."""
    explain = commands.add_parser(
        "explain", parents=[common], help="say why a server is where it is, or nowhere",
        description="Show the decisions for a server: what each filter did, why hosts were refused, what the best were "
        "weighed, and which claims were lost. Decisions are kept for [scheduler] decision_retention seconds.",
    )  # fmt: skip
    explain.add_argument("server", metavar="SERVER", help="id or name of the server; of one that is gone its id")
    explain.add_argument("--host", metavar="NAME", help="say of one host why it was refused, or how it was weighed")
    replay = commands.add_parser(
        "replay", parents=[common], help="run a recorded decision with another configuration",
        description="Run the filters and weighers that the configuration names over hosts and request as they were "
        "when a decision was made, and say what changes. Nothing is built or claimed.",
    )  # fmt: skip
    replay.add_argument("operation", metavar="OPERATION", help="id of an operation, or a server for its last decision")
    replay.add_argument(
        "--with-config", metavar="FILE", action="append", required=True,
        help="read FILE after the service's configuration; may be repeated",
    )  # fmt: skip
    for part in (explain, replay):
        part.add_argument("--json", action="store_true", help="print all as JSON")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100000")
    return int(text)


def _add_fit(commands: Any, common: argparse.ArgumentParser) -> None:
    fit = commands.add_parser(
        "fit", parents=[common], help="say whether a server would fit, and if not, what would",
        description="Ask the scheduler how many servers of a flavor would find a host now, why no more, and if not as "
        "many as are wanted, what is the nearest change that makes it fit. Nothing is made. Exit codes: 0 it fits, 2 "
        "it does not.",
    )  # fmt: skip
    fit.add_argument("--flavor", required=True, metavar="FLAVOR", help="id or name of the flavor")
    fit.add_argument("--count", type=_at_least_one, metavar="N", help="how many are wanted (default: one)")
    fit.add_argument("--zone", metavar="ZONE", help="only in this availability zone")
    fit.add_argument("--on-host", metavar="HOST", help="only on this host")
    fit.add_argument("--project", metavar="ID", help="for this project; filters of some aggregates ask")
    fit.add_argument("--property", action="append", default=[], metavar="KEY=VALUE", help="a property of the image")
    fit.add_argument("--hint", action="append", default=[], metavar="KEY=VALUE", help="a scheduler hint")
    fit.add_argument("--json", action="store_true", help="print the answer as JSON")


def _add_plugin(commands: Any, common: argparse.ArgumentParser) -> None:
    plugin = commands.add_parser("plugin", help="list, show, check, compare and write plugins")
    parts = plugin.add_subparsers(dest="part", metavar="PART", required=True)
    listing = parts.add_parser("list", parents=[common], help="list all plugins, from where they are and how they fare")
    listing.add_argument("--kind", metavar="KIND", help="only of this kind: virt, network, filter, …")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    show = parts.add_parser("show", parents=[common], help="say all about one plugin: options, capabilities, hooks")
    show.add_argument("kind", metavar="KIND", nargs="?", help="its kind, if several have a plugin of that name")
    show.add_argument("name", metavar="NAME", help="the plugin's name")
    matrix = parts.add_parser(
        "matrix", help="show which driver supports what, from reports of conformance runs",
        description="Print a table for each kind of plugin: a row a capability, a column a driver, and the checks that "
        "prove each cell. Reports are written by pytest --conformance-report FILE; several are taken together.",
    )  # fmt: skip
    matrix.add_argument("--report", metavar="FILE", nargs="+", required=True, help="reports of conformance runs")
    matrix.add_argument("--format", choices=["rst", "json"], default="rst", help="reStructuredText (default) or JSON")
    parts.add_parser(
        "check", parents=[common], help="say what keeps the configuration from starting",
        description="Construct every plugin that is enabled, and look at the values of all options. Exit codes: 0 it "
        "can start, 1 it cannot, or an extension would be left out; there is a line for each reason.",
    )  # fmt: skip
    new = parts.add_parser(
        "new", help="write a new plugin: a distribution with a skeleton, and tests that say what is missing",
        description="Write the distribution tenter-NAME into a directory of that name: packaging, the skeleton of a "
        "plugin made from its contract, and a conformance test.",
    )  # fmt: skip
    new.add_argument("kind", metavar="KIND", help="virt, network, image, identity, filter, weigher, feature, …")
    new.add_argument("name", metavar="NAME", help="the plugin's name, such as acme")
    new.add_argument("--mask", action="store_true", help="a filter that is asked about all hosts at once, with arrays")
    new.add_argument("--column", action="store_true", help="the same for a weigher")
    new.add_argument("--directory", metavar="DIR", default=".", help="where to make the directory (default: here)")


def api() -> int:
    """The console command ``tenter-api``."""
    return main(["api", *sys.argv[1:]])


def conductor() -> int:
    """The console command ``tenter-conductor``."""
    return main(["conductor", *sys.argv[1:]])


def compute() -> int:
    """The console command ``tenter-compute``."""
    return main(["compute", *sys.argv[1:]])


def _piped(command: Callable[[], int]) -> int:
    """Run what only prints and return its exit code; 141, as a shell has it of SIGPIPE, if its reader went away."""
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return 141
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = parser().parse_args(argv)
    try:
        return _piped(lambda: _run(args)) if args.command in PRINTS else _run(args)
    except errors.TenterError as exc:
        print(f"tenter: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    """Run a command and return its exit code; what others need is not imported."""
    if args.command == "up":
        from tenter.cli import up

        return up.run(args)
    if args.command in ("api", "conductor", "compute"):
        from tenter.cli import processes

        return int(getattr(processes, args.command)(args))
    if args.command == "cell":
        from tenter.cli import cell

        return cell.run(args)
    if args.command == "status":
        from tenter.cli import status

        return status.run(args)
    if args.command == "fit":
        from tenter.cli import fit

        return fit.run(args)
    if args.command == "audit":
        from tenter.cli import audit

        return audit.run(args)
    if args.command == "explain":
        from tenter.cli import explain

        return explain.run(args)
    if args.command == "replay":
        from tenter.cli import replay

        return replay.run(args)
    if args.command == "plugin" and args.part == "matrix":
        from tenter.cli import matrix

        return matrix.run(args)
    if args.command == "plugin" and args.part == "new":
        from tenter.cli import new_plugin

        return new_plugin.run(args)
    if args.command == "plugin":
        from tenter.cli import plugin

        return plugin.run(args)
    if args.command == "teardown":
        from tenter.cli import teardown

        return teardown.run(args)
    if args.command == "config":
        from tenter.cli import config

        return config.sample()
    from tenter.cli import version

    return version.run()


if __name__ == "__main__":
    sys.exit(main())
