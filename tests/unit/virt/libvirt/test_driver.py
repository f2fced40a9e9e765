"""What the driver does before, and without, libvirt."""

from __future__ import annotations

import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
from oslo_config import cfg

from tenter import errors
from tenter.contracts.base import PluginSetup
from tenter.contracts.virt import GuestRef, HostSetup
from tenter_plugins.virt.libvirt import console, lib
from tenter_plugins.virt.libvirt.driver import LibvirtDriver
from tenter_plugins.virt.libvirt.layout import Layout
from tenter_plugins.virt.libvirt.locks import KeyedLocks

UUID = "6f1c2c9e-8f0f-4b6c-9f0e-1b2c3d4e5f60"


def driver(tmp_path: Path, **options: object) -> LibvirtDriver:
    conf = cfg.ConfigOpts()
    conf([], project="tenter", default_config_files=[])
    conf.register_opts(LibvirtDriver.options, group="libvirt")
    for name, value in options.items():
        conf.set_override(name, value, group="libvirt")
    return LibvirtDriver(PluginSetup(conf, tmp_path, "h"))


def test_importing_the_driver_imports_no_libvirt() -> None:
    code = "import sys, tenter_plugins.virt.libvirt.driver; sys.exit('libvirt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_missing_binding_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib.libvirt.cache_clear()
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(errors.HypervisorUnavailable, match=r"pip install '\.\[libvirt\]'"):
        driver(tmp_path).init_host(HostSetup("h"))
    lib.libvirt.cache_clear()


def test_before_its_start_it_tells_what_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", types.ModuleType("libvirt"))
    there = driver(tmp_path, virt_type="qemu", emulator="/bin/true").describe().capabilities
    assert there["pause"].on and there["snapshot"].on and not there["kvm"].on
    without = driver(tmp_path, emulator="/none/qemu").describe().capabilities
    off = {name: each.reason for name, each in without.items() if "/none/qemu is missing" in each.reason}
    assert {"pause", "snapshot", "resize", "console_output", "teardown", "kvm"} <= set(off)
    monkeypatch.setitem(sys.modules, "libvirt", None)
    assert "binding" in driver(tmp_path, emulator="/bin/true").describe().capabilities["pause"].reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"emulator": "/none/qemu"}, "qemu-system-x86"),
        ({"daemon": "no-such-libvirtd", "virt_type": "qemu", "emulator": "/bin/true"}, "install the packages"),
        ({"daemon": "false", "virt_type": "qemu", "emulator": "/bin/true"}, "does not start"),
        ({"uri": "qemu+unix:///system?socket=/none", "virt_type": "qemu", "emulator": "/bin/true"}, "does not answer"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, options: dict[str, object], words: str) -> None:
    pytest.importorskip("libvirt")
    with pytest.raises(errors.HypervisorUnavailable, match=words):
        driver(tmp_path, **options).init_host(HostSetup("h"))


def test_not_started(tmp_path: Path) -> None:
    made = driver(tmp_path)
    for call in (made.inventory, made.guests, lambda: made.state(GuestRef(UUID))):
        with pytest.raises(errors.HypervisorUnavailable):
            call()
    made.close()
    made.close()


def test_node_uuid_is_made_once(tmp_path: Path) -> None:
    first = Layout(tmp_path).node_uuid()
    assert Layout(tmp_path).node_uuid() == first
    (tmp_path / "node-uuid").write_text("damaged")
    assert len(Layout(tmp_path).node_uuid()) == 36


def test_guest_directories(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    (layout.instances / "lost+found").mkdir()
    directory = layout.guest(UUID.upper())
    directory.create("näme")
    assert [each.uuid for each in layout.guests()] == [UUID]
    assert directory.title() == "näme"
    assert directory.path.stat().st_mode & 0o777 == 0o700
    directory.remove()
    directory.remove()
    assert list(layout.guests()) == []
    assert directory.title() == ""
    for bad in ("", "..", "x/../../y"):
        with pytest.raises(errors.Invalid):
            layout.guest(bad)


def test_console_tail_and_trim(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert console.tail(log, 10) == b""
    console.trim(log, 1)
    with log.open("ab", buffering=0) as guest:
        guest.write(b"x" * (2 * console.MIB) + b"end")
        assert console.tail(log, 4) == b"xend"
        console.trim(log, 2)
        assert log.stat().st_size == console.MIB
        guest.write(b"more")
        assert console.tail(log, 7) == b"endmore"
        console.trim(log, 2)
        assert log.stat().st_size == console.MIB + 4


def test_keyed_locks() -> None:
    locks, inside, order = KeyedLocks(), threading.Event(), []

    def other() -> None:
        inside.set()
        with locks.hold("a"):
            order.append("other")

    with locks.hold("a"):
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(5)
        with locks.hold("b"):
            order.append("first")
    thread.join(5)
    assert order == ["first", "other"]
    assert locks._locks == {}
