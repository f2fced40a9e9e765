"""A PostgreSQL server of its own for tests, where its programs are installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER = "tester"


def programs() -> Path | None:
    """Return the directory of ``initdb`` and ``pg_ctl``; None if there is none."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run an empty server that is reached by a socket only; yield the URL of a new database. Nothing of it is left."""
    bin_dir = programs()
    assert bin_dir is not None
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        user = _unprivileged(directory)
        data, log = directory / "data", directory / "log"
        settings = ["fsync=off", "listen_addresses=", f"unix_socket_directories={directory}"]
        options = " ".join(f"-c {setting}" for setting in settings)

        def run(program: str, *args: object) -> None:
            command = [str(bin_dir / program), "-D", str(data), *map(str, args)]
            subprocess.run(command, user=user, check=True, cwd=directory, stdout=subprocess.DEVNULL, timeout=120)

        run("initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
        run("pg_ctl", "start", "-w", "-l", log, "-o", options)
        try:
            yield f"postgresql+psycopg://{USER}@/postgres?host={directory}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged(directory: Path) -> int | None:
    """Give the directory to a user who may run the server, for root may not; return its number, None for our own."""
    if os.getuid() != 0:
        return None
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = entries.get("postgres") or entries["nobody"]
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    return entry.pw_uid
