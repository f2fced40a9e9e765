"""The fake guests: a JSON file each, so that they outlive the process as real guests do."""

from __future__ import annotations

import os
import threading
import time
import uuid as uuidlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tenter import errors
from tenter.contracts.virt import Hardware, PowerState

Guest = dict[str, Any]
Change = Callable[[Guest], Guest]


class Guests:
    """The guests of one directory. Safe to use from several threads; a guest that is returned is never changed.

    Keys of a guest: ``uuid``, ``name``, ``power``, ``console`` (what it printed), ``hardware``, ``image`` (key of its
    base image), ``told`` (what it can learn of itself), ``booted_ns`` (when it was last started, ns since the epoch),
    ``ran`` (seconds for which it has executed, until ``since``), ``since`` (when it began to execute, seconds since the
    epoch), ``moving_to`` (directory of the host that it is on its way to).

    A guest that another host is expected to put here (live migration) has a file ``.incoming`` until then.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        self._guests: dict[str, Guest] = {}
        self._expected: set[str] = set()

    def load(self) -> None:
        """Read what an earlier process has written."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for leftover in self.directory.glob("*.new"):
            leftover.unlink()
        with self._lock:
            self._guests = {path.stem: orjson.loads(path.read_bytes()) for path in self.directory.glob("*.json")}
            self._expected = {path.stem for path in self.directory.glob("*.incoming")}

    def all(self) -> list[Guest]:
        """Return all guests."""
        with self._lock:
            for uuid in self._expected:
                self._look_for(uuid)
            return list(self._guests.values())

    def get(self, uuid: str) -> Guest:
        """Return one guest. Raises GuestNotFound."""
        with self._lock:
            return self._get(uuid)

    def put(self, guest: Guest) -> None:
        """Add a guest, or replace it. Raises ResourceExhausted."""
        with self._lock:
            self._put(guest)

    def change(self, uuid: str, change: Change) -> None:
        """Replace a guest by ``change(guest)``. Raises GuestNotFound, ResourceExhausted, or what ``change`` raises."""
        with self._lock:
            self._put(change(self._get(uuid)))

    def remove(self, uuid: str) -> None:
        """Remove a guest, and expect it no longer; none is no error."""
        with self._lock:
            self._guests.pop(uuid, None)
            guest_file(self.directory, uuid).unlink(missing_ok=True)
            self._forget(uuid)

    def has(self, uuid: str) -> bool:
        """Return whether there is such a guest; one that was expected is, from when it has arrived."""
        with self._lock:
            return self._look_for(uuid)

    def expect(self, uuid: str) -> None:
        """Another host may put this guest here from now on. Raises ResourceExhausted."""
        with self._lock:
            write(expected_file(self.directory, uuid), {"uuid": uuid})
            self._expected.add(uuid)

    def forget(self, uuid: str) -> None:
        """Expect a guest no longer; if it has arrived, it stays."""
        with self._lock:
            self._forget(uuid)

    def _forget(self, uuid: str) -> None:
        if uuid in self._expected:
            expected_file(self.directory, uuid).unlink(missing_ok=True)
            self._expected.discard(uuid)

    def _look_for(self, uuid: str) -> bool:
        if uuid in self._expected and uuid not in self._guests:
            path = guest_file(self.directory, uuid)
            if path.exists():
                self._guests[uuid] = orjson.loads(path.read_bytes())
        return uuid in self._guests

    def _get(self, uuid: str) -> Guest:
        if uuid in self._guests or self._look_for(uuid):
            return self._guests[uuid]
        raise errors.GuestNotFound(f"There is no guest {uuid} on this host.")

    def _put(self, guest: Guest) -> None:
        write(guest_file(self.directory, guest["uuid"]), guest)
        self._guests[guest["uuid"]] = guest


def guest_file(directory: Path, uuid: str) -> Path:
    """Return the file of a guest in a directory of guests."""
    return directory / f"{uuidlib.UUID(uuid)}.json"


def expected_file(directory: Path, uuid: str) -> Path:
    """Return the file that says that a guest may be put into a directory of guests."""
    return directory / f"{uuidlib.UUID(uuid)}.incoming"


def write(path: Path, guest: Guest) -> None:
    """Write a guest, all of it or nothing. Raises ResourceExhausted."""
    new = path.with_suffix(".new")
    try:
        new.write_bytes(orjson.dumps(guest))
        os.replace(new, path)
    except OSError as exc:
        raise errors.ResourceExhausted(f"The guest could not be written: {exc.strerror}.") from exc


def as_stored(hardware: Hardware) -> dict[str, Any]:
    """Return the hardware as a guest keeps it (``dataclasses.asdict`` would take longer than the rest of a spawn)."""
    return {**vars(hardware), "extra_specs": dict(hardware.extra_specs)}


def running(guest: Guest) -> bool:
    """Return whether the guest executes."""
    return bool(guest["power"] == PowerState.RUNNING)


def started(guest: Guest, word: str) -> Guest:
    """Return the guest after a start from its beginning."""
    now = time.time()
    return {
        **guest,
        "power": int(PowerState.RUNNING),
        "console": f"{guest['console']}fake guest {word}\n",
        "booted_ns": time.time_ns(),
        "ran": 0.0,
        "since": now,
    }


def halted(guest: Guest, power: PowerState, word: str) -> Guest:
    """Return the guest when it executes no longer, shut down or paused."""
    console = f"{guest['console']}fake guest {word}\n" if word else guest["console"]
    return {**guest, "power": int(power), "console": console, "ran": executed(guest)}


def executed(guest: Guest) -> float:
    """Return for how many seconds the guest has executed since its last start."""
    return float(guest["ran"] + (time.time() - guest["since"] if running(guest) else 0.0))
