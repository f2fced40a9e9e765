"""The ``tenter`` command: its sub-commands and their arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tenter import __version__, errors

EPILOG = """\
examples:
  tenter up --driver fake          a whole cloud in this terminal, without a hypervisor
  tenter status                    is it up, and what does it hold
  tenter config sample             every option with its default

Exit codes: 0 done, 1 it could not be done (one line says why), 2 wrong arguments.
"""


def _parser() -> argparse.ArgumentParser:
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

    up = commands.add_parser(
        "up", parents=[common], help="run the whole cloud in this process",
        description="Run API, conductor and compute in this process until Ctrl-C. Guests go on running; the next "
        "'tenter up' on the same state directory finds them again.",
    )  # fmt: skip
    up.add_argument("--port", type=int, metavar="N", help="port of the API on 127.0.0.1 (default: [api] port, 8774)")
    up.add_argument("--driver", metavar="NAME", help="virt driver: libvirt, fake, or any other that is installed")
    up.add_argument("--debug", action="store_true", help="log everything")
    up.add_argument("--reset-password", action="store_true", help="give the user admin a new password")

    commands.add_parser("status", parents=[common], help="say whether the cloud is up and what it holds")
    teardown = commands.add_parser(
        "teardown", parents=[common], help="take off this host what a cloud made there",
        description="End the daemons and remove the bridges, namespaces and files that the drivers of a state "
        "directory made on this host. Refuses while the cloud runs or has servers. The state directory stays, and the "
        "next 'tenter up' makes the rest anew.",
    )  # fmt: skip
    teardown.add_argument("--purge", action="store_true", help="remove all servers before, the state directory after")
    commands.add_parser("version", help="print versions of Tenter and of what it runs on")

    config = commands.add_parser("config", help="about the configuration")
    parts = config.add_subparsers(dest="part", metavar="PART", required=True)
    parts.add_parser("sample", help="print every option with its default and meaning, as a tenter.conf")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "up":
            from tenter.cli import up

            return up.run(args)
        if args.command == "status":
            from tenter.cli import status

            return status.run(args)
        if args.command == "teardown":
            from tenter.cli import teardown

            return teardown.run(args)
        if args.command == "config":
            from tenter.cli import config

            return config.sample()
        from tenter.cli import version

        return version.run()
    except errors.TenterError as exc:
        print(f"tenter: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
