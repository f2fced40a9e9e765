"""Looking for what a cloud left on this machine: by itself, not by asking the cloud."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tenter_plugins.network.local.names import namespace_name

NETNS, RUNTIME = Path("/run/netns"), Path("/run/tenter")
ROWS = {
    "api.sqlite": {"places": "instance_uuid"},
    "cell1.sqlite": {"instances": "uuid", "claims": "holder_uuid"},
    "network/local/network.sqlite": {"ports": "device_id"},
}
"""Tables that hold something of a server while it exists, and the column that names it. Its ended operations are
history and stay."""


def of_server(state_dir: Path, uuid: str) -> list[str]:
    """Return what is left of a server that was deleted: domain, disks, process, tap, rows."""
    found = [*_domains(state_dir, uuid), *_files(state_dir, uuid), *_processes(uuid)]
    return [*found, *_taps(state_dir), *_rows(state_dir, uuid)]


def of_cloud(state_dir: Path) -> list[str]:
    """Return what is left of a cloud that was torn down, beside its state directory."""
    namespace = namespace_name(state_dir / "network" / "local")
    places = (NETNS / namespace, RUNTIME / namespace)
    found = [f"network namespace or its files: {path}" for path in places if path.exists()]
    for link in Path("/run").glob("tenter*-*"):
        if link.is_symlink() and str(link.readlink()).startswith(str(state_dir)):
            found.append(f"link {link}")
    return found + _processes(str(state_dir)) + _processes(namespace)


def _domains(state_dir: Path, uuid: str) -> Iterator[str]:
    socket = next((state_dir / "virt" / "libvirt").rglob("libvirt-sock"), None)
    if socket is None:
        return
    import libvirt

    scope = "system" if os.geteuid() == 0 else "session"
    with contextlib.closing(libvirt.open(f"qemu+unix:///{scope}?socket={socket}")) as connection:
        for domain in connection.listAllDomains():
            if domain.UUIDString() == uuid:
                yield f"libvirt domain {domain.name()}"


def _files(state_dir: Path, uuid: str) -> Iterator[str]:
    for path in (state_dir / "virt").rglob(f"*{uuid}*"):
        yield f"file {path}"


def _processes(word: str) -> list[str]:
    """Return the processes that have the word in their command line, or in the name of a file that they have open."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (os.getpid(), os.getppid()):
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if word in command or any(word in name for name in _open_files(entry)):
                    found.append(f"process {entry.name}: {command[:120]}")
    return found


def _open_files(process: Path) -> Iterator[str]:
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            yield str(descriptor.readlink())


def _taps(state_dir: Path) -> Iterator[str]:
    namespace = namespace_name(state_dir / "network" / "local")
    if not (NETNS / namespace).exists():
        return
    done = subprocess.run(["ip", "-n", namespace, "-j", "link"], capture_output=True, text=True, check=True)
    for link in json.loads(done.stdout or "[]"):
        if link["ifname"] != "lo" and not link["ifname"].startswith("br-"):
            yield f"interface {link['ifname']} in {namespace}"


def _rows(state_dir: Path, uuid: str) -> Iterator[str]:
    for file, tables in ROWS.items():
        with contextlib.closing(sqlite3.connect(f"file:{state_dir / file}?mode=ro", uri=True)) as connection:
            for table, column in tables.items():
                # Names are ours, from ROWS.
                (count,) = connection.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", (uuid,)).fetchone()
                if count:
                    yield f"{count} rows of {table} in {file}"
