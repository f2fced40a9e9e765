from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tenter_plugins.virt.libvirt import accel


def emulator(tmp_path: Path, body: str) -> str:
    path = tmp_path / "qemu"
    path.write_text(f"#!/bin/sh\necho x >>{tmp_path}/runs\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device that can be opened, on a processor that says it has what KVM needs."""
    path = tmp_path / "kvm"
    path.touch()
    monkeypatch.setattr(accel, "_cpu_flags", lambda: "flags\t\t: fpu vmx sse")
    return path


def test_kvm_that_works_is_looked_at_once(tmp_path: Path, device: Path) -> None:
    qemu, cache = emulator(tmp_path, "exit 33"), tmp_path / "cache"
    assert accel.probe_kvm(qemu, cache, device).on
    assert accel.probe_kvm(qemu, cache, device).on
    assert (tmp_path / "runs").read_text() == "x\n"
    cache.write_text("another boot /qemu\nreason")
    assert accel.probe_kvm(qemu, cache, device).on


@pytest.mark.parametrize(
    ("body", "words"),
    [("echo boom >&2; exit 1", "boom"), ("exec sleep 60", "did not run within"), ("exit 0", "exit status 0")],
)
def test_kvm_that_fails(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str) -> None:
    monkeypatch.setattr(accel, "PROBE_SECONDS", 0.3)
    found = accel.probe_kvm(emulator(tmp_path, body), tmp_path / "cache", device)
    again = accel.probe_kvm(emulator(tmp_path, body), tmp_path / "cache", device)
    assert (found.on, again) == (False, found)
    assert words in found.reason


def test_no_device(tmp_path: Path) -> None:
    found = accel.probe_kvm("/none", tmp_path / "cache", tmp_path / "none")
    assert (found.on, "No such file" in found.reason) == (False, True)


def test_processor_without_virtualization(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "_cpu_flags", lambda: "flags\t\t: fpu sse")
    assert "no hardware virtualization" in accel.probe_kvm("/none", tmp_path / "cache", device).reason


@pytest.mark.skipif(not os.path.exists("/usr/bin/qemu-system-x86_64"), reason="QEMU is not installed")
def test_the_boot_sector_ends_a_real_emulator(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(accel._BOOT_SECTOR)
    argv = ["/usr/bin/qemu-system-x86_64", "-machine", "pc,accel=tcg", "-m", "16", "-nodefaults", "-no-user-config",
            "-display", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive", f"file={disk},format=raw,if=ide"]  # fmt: skip
    assert subprocess.run(argv, timeout=60).returncode == accel._EXPECTED_EXIT
