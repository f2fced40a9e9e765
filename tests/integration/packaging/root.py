"""A clean Debian in a directory, to install packages into."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenter" / "packaging"
RELEASE = "bookworm"
FRESH = 7 * 24 * 3600
"""Seconds for which a root that was made before is good enough."""
ARCHIVES = "var/cache/apt/archives"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


class Root:
    """The system below ``path``. No service of it is started by installing a package."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path, include: Collection[str] = ()) -> Root:
        """Return a minimal system with some of the release's packages."""
        key = hashlib.sha256(" ".join(sorted(include)).encode()).hexdigest()[:12]
        kept = CACHE / f"{RELEASE}-{key}.tar"
        CACHE.mkdir(parents=True, exist_ok=True)
        if not kept.exists() or time.time() - kept.stat().st_mtime > FRESH:
            for old in CACHE.glob(f"{RELEASE}-*.tar"):
                old.unlink()
            new = kept.with_name(f"{kept.name}.{os.getpid()}.tar")
            command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(include)}"]
            done = subprocess.run([*command, RELEASE, str(new)], capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, done.stderr[-3000:]
            new.rename(kept)
        path.mkdir()
        subprocess.run(["tar", "-xf", str(kept), "-C", str(path)], check=True)
        root = cls(path)
        shutil.copy("/etc/resolv.conf", path / "etc" / "resolv.conf")
        root.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n").chmod(0o755)
        # The root is thrown away: nothing needs to survive a power cut.
        root.write("etc/dpkg/dpkg.cfg.d/unsafe-io", "force-unsafe-io\n")
        for archive in (CACHE / "archives").glob("*.deb"):
            shutil.copy(archive, path / ARCHIVES)
        root.check("apt-get", "update", "-qq")
        return root

    def write(self, name: str, text: str) -> Path:
        """Write a file and return where it is."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def argv(self, *command: str) -> list[str]:
        """Return a command that runs one in the root. Its /proc is mounted for that process alone, and goes with it."""
        return ["unshare", "--mount", "--propagation=private", "--mount-proc", f"--root={self.path}", *command]

    def run(self, *command: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command in the root to its end."""
        return subprocess.run(
            self.argv(*command), capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT, cwd="/"
        )

    def check(self, *command: str) -> str:
        """Run a command in the root, which must succeed; return what it prints."""
        done = self.run(*command)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def install(self, *packages: Path) -> None:
        """Install packages of ours, with what they depend on from the release."""
        for package in packages:
            shutil.copy(package, self.path / "root")
        self.check("apt-get", "install", "-y", "-qq", "--no-install-recommends", *(f"/root/{p.name}" for p in packages))
        (CACHE / "archives").mkdir(exist_ok=True)
        for archive in (self.path / ARCHIVES).glob("*.deb"):
            if not (kept := CACHE / "archives" / archive.name).exists():
                shutil.copy(archive, kept)

    def remove(self, *names: str, purge: bool = True) -> None:
        """Remove packages, and their configuration too if they are to be purged."""
        self.check("apt-get", "purge" if purge else "remove", "-y", "-qq", *names)
