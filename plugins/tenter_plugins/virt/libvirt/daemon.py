"""A libvirtd of the driver's own: its sockets, configuration, pid file and logs all lie in one directory.

It outlives the process that started it, as guests do; whoever comes next finds it by its pid file. For root it runs in
a mount namespace where libvirt's fixed directories (/etc/libvirt, /run/libvirt, …) are those of ours, and in the
network namespace of the guests. For anybody else it is a session daemon whose XDG directories are ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from tenter import errors
from tenter_plugins.virt.libvirt import processes

LOG = logging.getLogger(__name__)

# Longest path below the directory: a monitor socket. A socket's path has at most 107 characters (unix(7)).
_LONGEST_BELOW = len("/config/libvirt/qemu/lib/domain-1000000-tenter-0000000000000/monitor.sock")
_SOCKET_PATH_MAX = 107
_SYSTEM_DIRS = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
# libvirtd for root looks up the user libvirt-qemu even if qemu.conf names another; where the package that makes that
# user is not installed, it sees files of ours.
_QEMU_USER = "libvirt-qemu"
_SYSTEM_SCRIPT = """\
set -e
cd "$1"
for pair in $3; do
  mount --bind "$1/${pair%:*}" "${pair#*:}"
done
[ ! -f "$1/passwd" ] || mount --bind "$1/passwd" /etc/passwd
[ ! -f "$1/group" ] || mount --bind "$1/group" /etc/group
if [ "$2" != kvm ] && [ -e /dev/kvm ]; then
  # libvirt looks whether it could write here; if so, it would ask QEMU about KVM again at every start of a guest.
  : > "$1/no-kvm"
  mount --bind "$1/no-kvm" /dev/kvm
  mount -o remount,bind,ro /dev/kvm
fi
cd /
shift 3
exec "$@"
"""
_DAEMON_CONF = """\
listen_tls = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
unix_sock_dir = "{sockets}"
max_client_requests = 64
log_outputs = "3:file:{log}"
host_uuid = "{host_uuid}"
"""
_ROOT_CONF = """\
user = "root"
group = "root"
"""
_QEMU_CONF = """\
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
"""


class PrivateDaemon:
    """The libvirtd of one directory. Safe to use from several threads and processes at once.

    ``netns`` names the network namespace it runs in (root only). Without ``kvm`` the daemon does not see /dev/kvm:
    it would try a broken one for seconds at its first start. ``timeout`` in seconds, for its start and end.
    """

    def __init__(
        self,
        directory: Path,
        host_uuid: str,
        netns: str | None = None,
        kvm: bool = True,
        command: str = "libvirtd",
        timeout: float = 60.0,
    ) -> None:
        self.directory = directory
        self.host_uuid = host_uuid
        self.netns = netns
        self.kvm = kvm
        self.command = command
        self.timeout = timeout
        self.privileged = os.geteuid() == 0

    @property
    def base(self) -> Path:
        """The directory under a name short enough for the paths of sockets."""
        return _short_alias(self.directory)

    @property
    def socket(self) -> Path:
        """The socket that clients connect to."""
        return self.base / "run" / "libvirt-sock" if self.privileged else self.base / "run" / "libvirt" / "libvirt-sock"

    @property
    def uri(self) -> str:
        """The libvirt URI of this daemon."""
        return f"qemu+unix:///{'system' if self.privileged else 'session'}?socket={self.socket}"

    @property
    def pid_file(self) -> Path:
        """Holds the daemon's pid."""
        return self.directory / "libvirtd.pid"

    @property
    def config_file(self) -> Path:
        """The daemon's configuration; its path on the command line is what tells our daemon from others."""
        return self.directory / "libvirtd.conf"

    def qemu_log(self, domain: str) -> Path:
        """Return where QEMU's own messages for a domain are."""
        if self.privileged:
            return self.directory / "log" / "qemu" / f"{domain}.log"
        return self.directory / "cache" / "libvirt" / "qemu" / "log" / f"{domain}.log"

    def pid(self) -> int | None:
        """Return the pid of the daemon if it runs, whoever started it."""
        try:
            pid = int(self.pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            pid = 0
        if pid and self._is_ours(pid):
            return pid
        # The pid file may be lost or not written yet; two daemons of one directory must never be.
        return next((pid for pid in processes.pids() if self._is_ours(pid)), None)

    def ensure(self) -> None:
        """On return the daemon runs, in the right network namespace. Raises HypervisorUnavailable with the reason."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            pid = self.pid()
            if pid is not None and not self._in_right_namespace(pid):
                LOG.warning("Starting libvirtd anew: %d is not in network namespace %s", pid, self.netns)
                self._kill(pid)
                pid = None
            if pid is None:
                try:
                    self._start()
                except errors.HypervisorUnavailable:
                    self._remove_alias()
                    raise
            elif not self._wait_for_socket():
                raise errors.HypervisorUnavailable(f"The libvirtd with pid {pid} runs but has no socket {self.socket}.")

    def stop(self) -> None:
        """End the daemon. Guests that run would go on without it; a daemon that does not run is no error."""
        if not self.directory.is_dir():
            return
        with self._lock():
            pid = self.pid()
            if pid is not None:
                self._kill(pid)
            self.pid_file.unlink(missing_ok=True)
            self._remove_alias()

    def _remove_alias(self) -> None:
        if self.base != self.directory:
            self.base.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _is_ours(self, pid: int) -> bool:
        return processes.has_argument(pid, os.fsencode(self.config_file))

    def _in_right_namespace(self, pid: int) -> bool:
        if not (self.privileged and self.netns):
            return True
        try:
            wanted, actual = os.stat(f"/run/netns/{self.netns}"), os.stat(f"/proc/{pid}/ns/net")
        except OSError:
            return False
        return (wanted.st_dev, wanted.st_ino) == (actual.st_dev, actual.st_ino)

    def _kill(self, pid: int) -> None:
        if not processes.end(pid, self.timeout):
            raise errors.HypervisorUnavailable(f"The libvirtd with pid {pid} does not end.")

    def _start(self) -> None:
        executable = shutil.which(self.command, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if executable is None:
            raise errors.HypervisorUnavailable(
                f"{self.command} is missing; install the packages libvirt-daemon, libvirt-daemon-driver-qemu, "
                "qemu-system-x86 and qemu-utils, or set [libvirt] uri to a daemon that runs."
            )
        argv = [executable, "-d", "-f", str(self.config_file), "-p", str(self.pid_file)]
        self._forget_other_boots()
        self._write_config()
        self._forget_half_started()
        environment = dict(os.environ)
        if self.privileged:
            argv = self._in_namespaces(argv)
        else:
            environment |= self._session_environment()
        log = self.directory / "start.log"
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    argv, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    timeout=self.timeout, check=False, start_new_session=True,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise errors.HypervisorUnavailable(f"libvirtd did not start in {self.timeout:g} seconds.") from None
        if done.returncode != 0 or not self._wait_for_socket():
            raise errors.HypervisorUnavailable(f"libvirtd does not start: {self._reason(log)}")
        LOG.info("Started libvirtd with pid %s in %s", self.pid(), self.directory)

    def _in_namespaces(self, argv: list[str]) -> list[str]:
        for target in _SYSTEM_DIRS.values():
            Path(target).mkdir(parents=True, exist_ok=True)
        if self.netns:
            argv = ["nsenter", f"--net=/run/netns/{self.netns}", "--", *argv]
        pairs = " ".join(f"{ours}:{theirs}" for ours, theirs in _SYSTEM_DIRS.items())
        first = [str(self.directory), "kvm" if self.kvm else "no-kvm", pairs]
        script = ["sh", "-c", _SYSTEM_SCRIPT, "sh", *first, *argv]
        return ["unshare", "--mount", "--propagation", "slave", "--", *script]

    def _session_environment(self) -> dict[str, str]:
        base = self.base
        return {
            "HOME": str(base),
            "XDG_CONFIG_HOME": str(base / "config"),
            "XDG_CACHE_HOME": str(base / "cache"),
            "XDG_DATA_HOME": str(base / "data"),
            "XDG_RUNTIME_DIR": str(base / "run"),
        }

    def _write_config(self) -> None:
        names = _SYSTEM_DIRS if self.privileged else ("config/libvirt", "cache", "data", "run/libvirt")
        for name in names:
            (self.directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets = "/run/libvirt" if self.privileged else self.base / "run" / "libvirt"
        log = self.directory / "libvirtd.log"
        self.config_file.write_text(
            _DAEMON_CONF.format(sockets=sockets, log=log, host_uuid=self.host_uuid), encoding="utf-8"
        )
        qemu_conf = self.directory / ("etc" if self.privileged else "config/libvirt") / "qemu.conf"
        qemu_conf.write_text(_QEMU_CONF + (_ROOT_CONF if self.privileged else ""), encoding="utf-8")
        self.socket.unlink(missing_ok=True)
        if self.privileged:
            self._write_users("passwd", f"{_QEMU_USER}:x:64055:64055::/nonexistent:/usr/sbin/nologin\n")
            self._write_users("group", f"{_QEMU_USER}:x:64055:\n")

    def _forget_other_boots(self) -> None:
        """Remove what a daemon noted of processes before the machine was booted: their numbers are others' now, which
        libvirtd would end. (Its notes are in /run as a rule, which is empty then; ours are on disk.)"""
        # And when process 1 started, which tells containers from each other.
        init = Path("/proc/1/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19]
        boot = f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()} {init}"
        noted = self.directory / "boot"
        if noted.exists() and noted.read_text(encoding="ascii") != boot:
            LOG.info("The machine was booted; what libvirtd noted of processes is forgotten")
            shutil.rmtree(self.directory / "run", ignore_errors=True)
        noted.write_text(boot, encoding="ascii")

    def _forget_half_started(self) -> None:
        """Remove the status of guests whose start was cut short by the end of the daemon.

        libvirt (seen with 9.0) takes the interrupted start over and never ends it, so that every call for that guest
        times out. Such a guest never ran; if it has a QEMU process, that is ended when the guest is started or removed.
        """
        states = self.directory / ("run/qemu" if self.privileged else "run/libvirt/qemu/run")
        for path in states.glob("*.xml"):
            try:
                half = etree.parse(path).getroot().get("reason") == "starting up"
            except etree.XMLSyntaxError:
                half = True
            if half:
                LOG.warning("libvirtd ended while it started %s", path.stem)
                path.unlink(missing_ok=True)

    def _write_users(self, name: str, line: str) -> None:
        users, ours = Path("/etc", name).read_text(encoding="utf-8"), self.directory / name
        if f"\n{_QEMU_USER}:" in f"\n{users}":
            ours.unlink(missing_ok=True)
        else:
            ours.write_text(f"{users.rstrip()}\n{line}", encoding="utf-8")
            ours.chmod(0o644)

    def _wait_for_socket(self) -> bool:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            if self.socket.is_socket():
                return True
            time.sleep(0.02)
        return False

    def _reason(self, log: Path) -> str:
        for path in (log, self.directory / "libvirtd.log"):
            with contextlib.suppress(OSError):
                lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
                if lines:
                    return " / ".join(lines[-3:])
        return "it gave no reason"


def _short_alias(directory: Path) -> Path:
    """Return ``directory``, or a symbolic link to it if it is too deep for the sockets below it.

    The link is in XDG_RUNTIME_DIR or the directory for temporary files, and is made anew if it is gone.
    """
    if len(os.fsencode(directory)) + _LONGEST_BELOW <= _SOCKET_PATH_MAX:
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:8]
    parent = Path("/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    link = parent / f"tenter{os.geteuid()}-{digest}"
    try:
        link.symlink_to(directory)
    except FileExistsError:
        # In a directory that others may write to, only a link of ours is to be trusted.
        if not link.is_symlink() or os.lstat(link).st_uid != os.geteuid() or link.readlink() != directory:
            raise errors.HypervisorUnavailable(f"{link} is in the way; it should be our link to {directory}.") from None
    return link
