"""The state directory: one process at a time, and what it leaves for others to read."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from tenter import errors

LOCK, ENDPOINT, CLOUDS = "tenter.lock", "endpoint", "clouds.yaml"


def prepare(state_dir: Path) -> None:
    """Make the state directory, for its owner only. Raises Invalid if that cannot be."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = state_dir / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may look at the same time
    except OSError as exc:
        raise errors.Invalid(
            f"The state directory {state_dir} cannot be used: {exc.strerror}. Choose one with --state-dir."
        ) from exc


def lock(state_dir: Path, shared: Path | None = None) -> contextlib.ExitStack:
    """Return the locks that say "this process alone runs on this state directory", and on ``shared``, the directory
    that processes share, if there is one; they end with the process.

    Raises Conflict if another process has one of them.
    """
    with contextlib.ExitStack() as held:
        for directory in _both(state_dir, shared):
            held.enter_context(_locked(directory, LOCK, fcntl.LOCK_EX, "'tenter up'"))
        return held.pop_all()


def lock_role(state_dir: Path, role: str, alone: bool = True, shared: Path | None = None) -> contextlib.ExitStack:
    """Return the locks of a process of one role: no ``tenter up`` runs on the state directory or on ``shared``, and
    (``alone``) no other process of this role on the state directory. Raises Conflict."""
    with contextlib.ExitStack() as held:
        for directory in _both(state_dir, shared):
            held.enter_context(_locked(directory, LOCK, fcntl.LOCK_SH, "'tenter up'"))
        if alone:
            held.enter_context(_locked(state_dir, f"tenter-{role}.lock", fcntl.LOCK_EX, f"'tenter {role}'"))
        return held.pop_all()


def _both(state_dir: Path, shared: Path | None) -> list[Path]:
    return [state_dir] if shared is None or shared.resolve() == state_dir.resolve() else [state_dir, shared]


def _locked(directory: Path, name: str, how: int, who: str) -> IO[str]:
    handle = open(directory / name, "a+")  # noqa: SIM115
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        holder = f"A {who} (pid {handle.read().strip() or 'unknown'})"
        with contextlib.suppress(OSError):  # nobody has it alone: the pid is of one that ended
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            holder = "A 'tenter api', conductor or compute"
        handle.close()
        raise errors.Conflict(f"{holder} runs on {directory}; stop it, or choose another --state-dir.") from None
    if how == fcntl.LOCK_EX:
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
    return handle


def write_clouds(state_dir: Path, url: str, user: str, password: str, project: str) -> Path:
    """Write ``clouds.yaml`` (mode 0600) for the ordinary clients, and return its path."""
    path = state_dir / CLOUDS
    text = (
        "# Written by tenter up. Use it with: export OS_CLIENT_CONFIG_FILE=<this file> OS_CLOUD=tenter\n"
        "clouds:\n  tenter:\n    auth_type: password\n    auth:\n"
        f"      auth_url: {url}/identity/v3\n      username: {user}\n      password: {password}\n"
        f"      project_name: {project}\n      user_domain_id: default\n      project_domain_id: default\n"
        "    region_name: RegionOne\n    identity_api_version: '3'\n"
    )
    new = path.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    os.replace(new, path)
    return path


def read_password(state_dir: Path) -> str | None:
    """Return the password that clouds.yaml holds, None if there is no such file."""
    try:
        lines = (state_dir / CLOUDS).read_text().splitlines()
    except OSError:
        return None
    words = [line.split(":", 1)[1].strip() for line in lines if line.strip().startswith("password:")]
    return words[0] if words else None
