"""A network namespace of our own, and the links in it, by the ``ip`` command."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenter import errors

LOG = logging.getLogger(__name__)

TOOLS = {"ip": "iproute2", "dnsmasq": "dnsmasq-base"}
"""Commands that are needed, and the Debian packages that bring them."""
_NETNS = Path("/run/netns")
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_NO_FORWARDING = 'f=/proc/sys/net/ipv4/ip_forward; read v <$f; [ "$v" = 0 ] || echo 0 >$f'


def tool(name: str) -> str:
    """Return the path of a command of ``TOOLS``. Raises NetworkFailed with the package to install."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise errors.NetworkFailed(
            f"The command {name!r} is missing; install the package {TOOLS[name]} "
            f"(apt-get install {' '.join(TOOLS.values())}), or set mode = user in [local_network]."
        )
    return path


def run(argv: Sequence[str], input: str | None = None) -> str:
    """Run a command for at most 30 seconds and return what it printed. Raises NetworkFailed with its
    words."""
    try:
        done = subprocess.run(
            argv, input=input, capture_output=True, text=True, timeout=30, env={"PATH": _PATH}
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise errors.NetworkFailed(f"{Path(argv[0]).name} cannot be run: {exc}") from exc
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").replace("\n", "; ")
        raise errors.NetworkFailed(f"{Path(argv[0]).name} failed: {words}")
    return done.stdout


class Namespace:
    """One named network namespace. Nothing outside of it is ever changed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._file = _NETNS / name

    @property
    def inode(self) -> int | None:
        """What tells this namespace from others (as /proc/PID/ns/net shows it); None if there is none."""
        try:
            return self._file.stat().st_ino
        except OSError:
            return None

    def usable(self) -> bool:
        """Return whether the namespace exists and can be entered (a crash may leave just its file)."""
        if self.inode is None:
            return False
        try:
            run([tool("ip"), "-n", self.name, "link", "show", "lo"])
        except errors.NetworkFailed:
            return False
        return True

    def ensure(self) -> None:
        """Make the namespace if it is not there. Raises NetworkFailed."""
        if not self.usable():
            self.remove()
            try:
                run([tool("ip"), "netns", "add", self.name])
            except errors.NetworkFailed as exc:
                raise errors.NetworkFailed(
                    f"No network namespace can be made here ({exc.message}); "
                    "set mode = user in [local_network]."
                ) from exc
        self.batch(["link set lo up"])
        try:
            run(self.command(["/bin/sh", "-c", _NO_FORWARDING]))
        except errors.NetworkFailed as exc:
            LOG.warning("Networks in namespace %s may reach each other: %s", self.name, exc)

    def remove(self) -> None:
        """Remove the namespace with all links in it. None is no error."""
        if self.inode is None:
            return
        try:
            run([tool("ip"), "netns", "delete", self.name])
        except errors.NetworkFailed:
            self._file.unlink(missing_ok=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` inside of the namespace."""
        return [tool("ip"), "netns", "exec", self.name, *argv]

    def batch(self, lines: Sequence[str]) -> None:
        """Run several ``ip`` commands in one process. Raises NetworkFailed at the first that fails."""
        run([tool("ip"), "-n", self.name, "-batch", "-"], input="\n".join(lines) + "\n")

    def links(self) -> dict[str, dict[str, Any]]:
        """Return the links by name, as ``ip -j -d addr show`` describes them; empty if there is no
        namespace."""
        if self.inode is None:
            return {}
        found = json.loads(run([tool("ip"), "-n", self.name, "-j", "-d", "addr", "show"]) or "[]")
        return {link["ifname"]: link for link in found if "ifname" in link}

    def delete_link(self, name: str) -> None:
        """Delete a link; on return it is gone. Raises NetworkFailed."""
        try:
            run([tool("ip"), "-n", self.name, "link", "delete", "dev", name])
        except errors.NetworkFailed:
            if name in self.links():
                raise
