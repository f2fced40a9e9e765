"""tools/up --check: the whole way there and back, verified, in a throw-away state directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from types import FrameType

import hello
import leftovers
from cloud import Cloud
from steps import Failed, console, step


def check(driver: str) -> int:
    """Run all of it; return 0 only if everything held and nothing is left on the machine."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = time.monotonic()
    # Short, for sockets below it have at most 107 characters.
    state_dir = Path(tempfile.mkdtemp(prefix="tenter-check-")).resolve()
    cloud = Cloud(state_dir, driver, _free_port())
    failed = False
    try:
        _back(cloud, _there(cloud))
    except (Failed, OSError, KeyboardInterrupt) as exc:
        failed = True
        _report(cloud, exc)
    finally:
        left = _clean_up(cloud)
    verdict = "FAILED" if failed or left else "ok"
    console.print(f"{verdict:6} {time.monotonic() - began:6.1f} s  all of tools/up --check --driver {driver}")
    return 1 if failed or left else 0


def _there(cloud: Cloud) -> str:
    """Boot the server, see that its guest is what the API says, and return its UUID."""
    with step("guest image built or found"):
        image = hello.build_image(cloud.driver)
    with step(f"tenter up --driver {cloud.driver} answers"):
        cloud.start()
    with step("image in the cloud"):
        name = hello.upload_image(cloud, image)
    with step(f"server {hello.SERVER} active"):
        hello.create(cloud, name)
    with step(f"{hello.MARKERS[cloud.driver]} in openstack console log show {hello.SERVER}"):
        text = hello.await_console(cloud)
    with step("the address that the API shows is the guest's own"):
        server = cloud.client_json("server", "show", hello.SERVER)
        shown = [address for network in server["addresses"].values() for address in network]
        line = next(line for line in text.splitlines() if hello.MARKERS[cloud.driver] in line)
        if not shown or not all(_has_word(line, address) for address in shown):
            raise Failed(f"the API shows {shown}, the guest says: {line}")
    return str(server["id"])


def _back(cloud: Cloud, uuid: str) -> None:
    with step(f"openstack server delete --wait {hello.SERVER}"):
        cloud.client("server", "delete", "--wait", hello.SERVER)
    with step("no domain, disk, process, tap or row is left of it"):
        _must_be_empty(leftovers.of_server(cloud.state_dir, uuid))
    with step("cloud stopped"):
        cloud.stop()
    with step("tenter teardown"):
        done = cloud.tenter("teardown")
        if done.returncode:
            raise Failed(f"{done.stdout}{done.stderr}".strip())
    with step("no process, bridge, namespace or file is left of the cloud"):
        _must_be_empty(leftovers.of_cloud(cloud.state_dir))


def _must_be_empty(found: list[str]) -> None:
    if found:
        raise Failed("left behind: " + "; ".join(found))


def _has_word(line: str, address: str) -> bool:
    """Return whether the address stands in the line by itself: 10.0.0.2 is not in 10.0.0.21."""
    words = line.replace("=", " ").replace("/", " ").split()
    return address in words


def _report(cloud: Cloud, exc: BaseException) -> None:
    words = "interrupted" if isinstance(exc, KeyboardInterrupt) else str(exc)
    console.print(f"tools/up --check: {words}", style="red", markup=False)
    console.print(f"--- end of {cloud.log}\n{cloud.last_words(40)}\n---", markup=False)


def _clean_up(cloud: Cloud) -> list[str]:
    """Remove whatever is there still, and return what could not be removed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        keep = os.environ.get("TENTER_CHECK_LOG")
        if keep:
            shutil.copyfile(cloud.log, keep)
    try:
        cloud.purge()
    except (Failed, OSError) as exc:
        console.print(f"tools/up --check: not removed: {exc}", style="red", markup=False)
        return [str(exc)]
    left = leftovers.of_cloud(cloud.state_dir) + ([str(cloud.state_dir)] if cloud.state_dir.exists() else [])
    for what in left:
        console.print(f"left behind: {what}", style="red", markup=False)
    return left


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
