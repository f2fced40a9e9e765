"""A libvirtd of the driver's own, which is no other's and survives the process that started it.

It runs in a mount namespace where libvirt's fixed directories are ours, and in the network namespace of the guests.
Containers do not need it to go on: each is held by a process of its own (libvirt_lxc), which the next daemon finds.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tenter import errors

LOG = logging.getLogger(__name__)

GUESTS = Path("/run/libvirt/tenter-guests")
"""Where the daemon sees the guests' directories. The host's users cannot reach those by their real path, and root of a
guest, who is one of those users, has to."""

_DIRECTORIES = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
# libvirt_lxc cannot mount a mixture of cgroup v1 and v2 in a container: in our mount namespace there is no v2 then.
_SCRIPT = """\
set -e
cd "$1"; guests=$2; shift 2
for pair in $PAIRS; do
  mount --bind "${pair%:*}" "${pair#*:}"
done
mkdir -p "$GUESTS"
mount --bind "$guests" "$GUESTS"
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
cd /
exec "$@"
"""
_CONFIGURATION = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
unix_sock_dir = "/run/libvirt"
log_outputs = "3:file:{log}"
"""


class Daemon:
    """The libvirtd of one directory. Safe to use from several threads and processes at once.

    ``guests`` is the directory that it sees as ``GUESTS``; ``netns`` the network namespace it runs in (None: the
    host's own); ``timeout``, in seconds, that of its start and end.
    """

    def __init__(self, directory: Path, guests: Path, netns: str | None, command: str, timeout: float) -> None:
        self.directory, self.guests, self.netns = directory, guests, netns
        self.command, self.timeout = command, timeout
        self.configuration = directory / "libvirtd.conf"
        self.pid_file = directory / "libvirtd.pid"

    def uri(self) -> str:
        """Return the libvirt URI of the daemon, which runs on return. Raises HypervisorUnavailable with the reason."""
        # By way of its mount namespace, for a socket's path may have 107 characters only (unix(7)).
        return f"lxc+unix:///system?socket=/proc/{self.ensure()}/root/run/libvirt/libvirt-sock"

    def pid(self) -> int | None:
        """Return the pid of the daemon if it runs, whoever started it."""
        try:
            pid = int(self.pid_file.read_text(encoding="ascii"))
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.configuration) in arguments else None

    def ensure(self) -> int:
        """Return the daemon's pid, starting it if it does not run. Raises HypervisorUnavailable."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self._lock():
                return self._ensure()
        except OSError as exc:
            raise errors.HypervisorUnavailable(f"libvirtd cannot be started: {exc}") from exc

    def stop(self) -> None:
        """End the daemon. Containers would go on without it; a daemon that does not run is no error."""
        if self.directory.is_dir():
            with self._lock():
                pid = self.pid()
                if pid is not None:
                    self._end(pid)

    def _ensure(self) -> int:
        pid = self.pid()
        if pid is not None and not self._in_right_namespace(pid):
            LOG.warning("Starting libvirtd anew: %d is not in network namespace %s", pid, self.netns)
            self._end(pid)
            pid = None
        return pid if pid is not None else self._start()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _in_right_namespace(self, pid: int) -> bool:
        wanted = Path("/run/netns", self.netns) if self.netns else Path("/proc/self/ns/net")
        try:
            return wanted.samefile(f"/proc/{pid}/ns/net")
        except OSError:
            return False

    def _start(self) -> int:
        self._write_configuration()
        argv = [self._executable(), "-d", "-f", str(self.configuration), "-p", str(self.pid_file)]
        if self.netns:
            argv = ["nsenter", f"--net=/run/netns/{self.netns}", "--", *argv]
        argv = ["sh", "-c", _SCRIPT, "sh", str(self.directory), str(self.guests), *argv]
        argv = ["unshare", "--mount", "--propagation", "slave", "--", *argv]
        pairs = " ".join(f"{ours}:{theirs}" for ours, theirs in _DIRECTORIES.items())
        environment = {**os.environ, "LIBVIRT_DRIVER_DIR": str(self.directory / "drivers"),
                       "PAIRS": pairs, "GUESTS": str(GUESTS)}  # fmt: skip
        output = self.directory / "start.log"
        with output.open("wb") as log:
            try:
                done = subprocess.run(
                    argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=self.timeout,
                    start_new_session=True, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise errors.HypervisorUnavailable(f"libvirtd did not start in {self.timeout:g} seconds.") from None
        pid = self.pid()  # libvirtd -d returns when it can be connected to
        if done.returncode != 0 or pid is None:
            words = " / ".join(output.read_text(errors="replace").splitlines()[-3:])
            raise errors.HypervisorUnavailable(f"libvirtd does not start: {words or 'it gave no reason'}")
        LOG.info("Started libvirtd with pid %d in %s", pid, self.directory)
        return pid

    def _write_configuration(self) -> None:
        self._forget_other_boots()
        for ours, theirs in _DIRECTORIES.items():
            (self.directory / ours).mkdir(exist_ok=True)
            Path(theirs).mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(_CONFIGURATION.format(log=self.directory / "libvirtd.log"), encoding="utf-8")
        (self.directory / "etc" / "lxc.conf").write_text('security_driver = "none"\n', encoding="ascii")
        # Of libvirt's drivers just this one: others want users, files and seconds that we do not need.
        module = find_module()
        if module is None:
            raise errors.HypervisorUnavailable(
                "libvirt's LXC driver is missing; install the package libvirt-daemon-driver-lxc."
            )
        link = self.directory / "drivers" / module.name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(module)

    def _forget_other_boots(self) -> None:
        """Remove what a daemon noted of processes before the machine was booted: their numbers are others' now, which
        libvirtd would end. (Its notes are in /run as a rule, which is empty then; ours are on disk.)"""
        # And when process 1 started, which tells containers from each other.
        init = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
        boot = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {init}"
        noted = self.directory / "boot"
        if noted.exists() and noted.read_text() != boot:
            shutil.rmtree(self.directory / "run", ignore_errors=True)
        noted.write_text(boot)

    def _executable(self) -> str:
        path = shutil.which(self.command, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if path is None:
            raise errors.HypervisorUnavailable(f"{self.command} is missing; install the package libvirt-daemon.")
        return path

    def _end(self, pid: int) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + self.timeout / 2
            while self.pid() == pid and time.monotonic() < deadline:
                time.sleep(0.02)
        if self.pid() == pid:
            raise errors.HypervisorUnavailable(f"The libvirtd with pid {pid} does not end.")


def find_module() -> Path | None:
    """Return the file of libvirt's LXC driver; None if it is not installed."""
    places = ("lib/*/libvirt/connection-driver", "lib64/libvirt/connection-driver", "lib/libvirt/connection-driver")
    for place in places:
        for path in Path("/usr").glob(f"{place}/libvirt_driver_lxc.so"):
            return path
    return None
