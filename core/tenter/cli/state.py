"""The state directory: one process at a time, and what it leaves for others to read."""

from __future__ import annotations

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
        probe.unlink()
    except OSError as exc:
        raise errors.Invalid(
            f"The state directory {state_dir} cannot be used: {exc.strerror}. Choose one with --state-dir."
        ) from exc


def lock(state_dir: Path) -> IO[str]:
    """Return the lock that says "this process alone runs on this state directory"; it ends with the process.

    Raises Conflict if another process has it.
    """
    return _locked(state_dir, LOCK, fcntl.LOCK_EX, "'tenter up'")


def lock_role(state_dir: Path, role: str, alone: bool = True) -> list[IO[str]]:
    """Return the locks of a process of one role: no ``tenter up`` runs on the state directory, and (``alone``) no other
    process of this role. Raises Conflict."""
    held = [_locked(state_dir, LOCK, fcntl.LOCK_SH, "'tenter up'")]
    try:
        if alone:
            held.append(_locked(state_dir, f"tenter-{role}.lock", fcntl.LOCK_EX, f"'tenter {role}'"))
    except errors.Conflict:
        held[0].close()
        raise
    return held


def _locked(state_dir: Path, name: str, how: int, who: str) -> IO[str]:
    handle = open(state_dir / name, "a+")  # noqa: SIM115
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        pid = handle.read().strip() or "unknown"
        handle.close()
        raise errors.Conflict(
            f"A {who} (pid {pid}) runs on {state_dir}; stop it, or choose another --state-dir."
        ) from None
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
