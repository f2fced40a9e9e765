"""One guest's life, and who finds it when processes die."""

from __future__ import annotations

import pytest

from tenter import errors
from tenter.contracts.network import NetworkInfo
from tenter.contracts.virt import (
    ConsoleOutputRequest,
    GuestRef,
    Hardware,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    RebootRequest,
)

from .conftest import Host, kill, user_vif, wait_until

GONE = "00000000-0000-4000-8000-000000000001"


def test_boot_reboot_stop_start_destroy(host: Host) -> None:
    network = NetworkInfo([user_vif("10.7.0.42", "10.7.0.0/24", "fa:16:3e:00:00:42")])
    request = host.request(network_info=network, user_data=b"#!/bin/sh\necho RAN-$((40+2))\n", hostname="moth")
    words: list[str] = []
    handle = host.driver.spawn(
        type(request)(**{**vars(request), "report": words.append, "metadata": {"hostname": "not-this"}})
    )
    ref = GuestRef(request.uuid, handle)
    assert {"downloading", "converting", "networking", "starting"} <= set(words)
    assert host.power(request.uuid) is PowerState.RUNNING

    host.driver.close()
    host.restart()
    assert [(state.uuid, state.power) for state in host.driver.guests()] == [(request.uuid, PowerState.RUNNING)]
    text = host.wait_console(request.uuid, "USERDATA-RC 0")
    assert f"GUEST-READY hostname=moth uuid={request.uuid} source=configdrive" in text
    assert "eth0=fa:16:3e:00:00:42=10.7.0.42/24" in text
    assert "RAN-42" in text
    assert host.driver.console_output(ConsoleOutputRequest(ref, 10)) == host.console(request.uuid)[-10:].encode()

    host.driver.reboot(RebootRequest(ref, False, network, request.hardware, timeout=60))
    text = host.wait_console(request.uuid, "USERDATA-RC 0", 2)
    assert text.count("GUEST-POWERBUTTON") == 1

    pid = host.qemu_pid(request.uuid)
    host.driver.reboot(RebootRequest(ref, True, network, Hardware(1, 144, 1), timeout=60))
    assert host.qemu_pid(request.uuid) != pid
    host.driver.power_off(PowerOffRequest(ref, timeout=0))
    assert host.power(request.uuid) is PowerState.SHUTDOWN
    host.driver.power_off(PowerOffRequest(ref, timeout=60))
    assert host.console(request.uuid).count("GUEST-POWERBUTTON") == 1, "what is forced is not asked"

    host.driver.power_on(PowerOnRequest(ref, network, request.hardware))
    pid = host.qemu_pid(request.uuid)
    host.driver.power_on(PowerOnRequest(ref, network, request.hardware))
    assert host.qemu_pid(request.uuid) == pid
    host.destroy(request.uuid)
    host.destroy(request.uuid)
    assert host.left() == []
    with pytest.raises(errors.GuestNotFound):
        host.power(request.uuid)


def test_guest_that_does_not_exist(host: Host) -> None:
    ref, network, hardware = GuestRef(GONE), NetworkInfo(), Hardware(1, 128, 0)
    host.destroy(GONE)
    for call in (
        lambda: host.driver.state(ref),
        lambda: host.driver.console_output(ConsoleOutputRequest(ref, 10)),
        lambda: host.driver.power_off(PowerOffRequest(ref)),
        lambda: host.driver.power_on(PowerOnRequest(ref, network, hardware)),
        lambda: host.driver.reboot(RebootRequest(ref, False, network, hardware)),
    ):
        with pytest.raises(errors.GuestNotFound):
            call()
    with pytest.raises(errors.Invalid):
        host.driver.state(GuestRef("../../etc"))


def test_soft_reboot_of_a_deaf_guest_is_forced(host: Host) -> None:
    request = host.request()
    host.driver.spawn(request)
    pid = host.qemu_pid(request.uuid)
    # In its first second the guest is in its firmware, which does not know the power button.
    reboot = RebootRequest(GuestRef(request.uuid), False, request.network_info, request.hardware, timeout=0.5)
    host.driver.reboot(reboot)
    assert host.power(request.uuid) is PowerState.RUNNING
    assert host.qemu_pid(request.uuid) != pid


def test_killed_guest_is_seen_and_can_be_started(host: Host) -> None:
    request = host.request(network_info=NetworkInfo(), config_drive=False)
    host.driver.spawn(request)
    kill(host.qemu_pid(request.uuid))
    off = (PowerState.SHUTDOWN, PowerState.CRASHED)
    wait_until(lambda: host.power(request.uuid) in off, 10, "the guest's end seen")
    assert host.driver.guests()[0].power in off
    host.driver.power_on(PowerOnRequest(GuestRef(request.uuid), request.network_info, request.hardware))
    assert host.power(request.uuid) is PowerState.RUNNING


def test_host_is_not_stopped_while_guests_exist(host: Host) -> None:
    request = host.request(network_info=NetworkInfo())
    host.driver.spawn(request)
    host.driver.power_off(PowerOffRequest(GuestRef(request.uuid), timeout=0))
    assert host.driver.stop_host() is False
    assert host.daemon.pid() is not None
    host.destroy(request.uuid)
    assert host.driver.stop_host() is True
    assert host.daemon.pid() is None
    assert host.driver.guests() == [], "the next call starts it again"
