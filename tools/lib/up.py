"""The second half of tools/up: a cloud, a guest in it, and what to do with them. Runs in the project's environment."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import hello
from check import check
from cloud import BIN, Cloud
from steps import Failed, console, step

from tenter.conf.fabric import default_state_dir

DRIVERS = ("libvirt", "fake")
PORT = 8774
UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/up")
    parser.add_argument("--driver", choices=DRIVERS)
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--port", type=int, default=PORT)
    for name in ("--check", "--stop", "--purge"):
        parser.add_argument(name, action="store_true")
    return parser.parse_args()


def _driver(state_dir: Path, asked: str | None) -> str:
    """Return the driver that the state directory was made with, else the one asked for. Raises Failed."""
    made = [name for name in DRIVERS if (state_dir / "virt" / name).is_dir()]
    if made and asked not in (None, *made):
        raise Failed(f"{state_dir} was made with --driver {made[0]}; choose another --state-dir, or --purge it first")
    return asked or (made[0] if made else DRIVERS[0])


def bring_up(cloud: Cloud) -> None:
    """Have the cloud run with the server in it, and show what there is. Raises Failed."""
    with step("guest image"):
        image = hello.build_image(cloud.driver)
    with step(f"tenter up --driver {cloud.driver}"):
        cloud.start()
    with step("image in the cloud"):
        name = hello.upload_image(cloud, image)
    with step(f"server {hello.SERVER} ({hello.FLAVOR}) active"):
        made = hello.boot(cloud, name)
    status = cloud.client("server", "show", hello.SERVER, "-f", "value", "-c", "status").strip()
    if made or status == "ACTIVE":
        with step("its guest booted"):
            text = hello.await_console(cloud)
        _show_console(text)
    else:
        console.print(f"The server {hello.SERVER} is {status}; openstack server start {hello.SERVER} starts it.")
    _screen(cloud)


def _show_console(text: str) -> None:
    """Show the end of a console log, without what would move the cursor."""
    lines = [UNPRINTABLE.sub("", line).rstrip() for line in text.splitlines()]
    console.print(f"\n$ openstack console log show {hello.SERVER}", markup=False)
    for line in [line for line in lines if line][-8:]:
        console.print(f"  | {line}", markup=False)


def _screen(cloud: Cloud) -> None:
    """Say how to go on."""
    state = "" if cloud.state_dir == Path(default_state_dir()) else f" --state-dir {cloud.state_dir}"
    console.print(
        f"\nThe cloud runs at {cloud.url} (log: {cloud.log}). Talk to it:\n\n"
        f"  export OS_CLIENT_CONFIG_FILE={cloud.clouds} OS_CLOUD=tenter\n"
        f"  export PATH={BIN}:$PATH\n\n"
        "  openstack server list\n"
        f"  openstack console log show {hello.SERVER}\n"
        f"  openstack server reboot --wait {hello.SERVER}\n\n"
        f"tools/up --stop{state}     stops the cloud; guests go on running\n"
        f"tools/up{state}            finds them again\n"
        f"tools/up --purge{state}    removes everything",
        markup=False,
    )


def _end(cloud: Cloud, purge: bool) -> None:
    if not cloud.state_dir.exists():
        console.print(f"There is no cloud in {cloud.state_dir}.", markup=False)
        return
    if purge:
        with step(f"all of {cloud.state_dir} removed"):
            cloud.purge()
    else:
        with step("cloud stopped; guests go on running"):
            cloud.stop()


def main() -> int:
    """Do what was asked and return the exit code."""
    args = _arguments()
    if args.check:
        return check(args.driver or DRIVERS[0])
    state_dir = (args.state_dir or Path(default_state_dir())).absolute()
    try:
        if args.stop or args.purge:
            _end(Cloud(state_dir, "", args.port), args.purge)
        else:
            bring_up(Cloud(state_dir, _driver(state_dir, args.driver), args.port))
    except Failed as exc:
        console.print(f"tools/up: {exc}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
