"""Extra specs of flavors, one by one, as microversion 2.86 checks them: of a namespace that is known, every key must be
known and its value be of its form. Other namespaces, and keys without one, may say anything.

What one key says together with others is checked when a server is created (:mod:`tenter.operations.asked`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from oslo_utils import strutils

from tenter import errors
from tenter.contracts.fit import MAX_GROUPS
from tenter.contracts.scheduling import MAX_UNIT
from tenter.operations import asked, numa

Rule = Callable[[str, str], object]
"""Given value and key, it raises Invalid if the value is not one that the key may have."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_LARGEST = 2**63 - 1
_SHOWN = 80


def check_extra_specs(specs: Mapping[str, str]) -> None:
    """Raise Invalid for the first extra spec that is malformed; the sentence names its key."""
    for key, value in specs.items():
        rule = rule_of(key)
        if rule is not None:
            rule(value, key)


def rule_of(key: str) -> Rule | None:
    """Return the rule for the values of a key, None if nothing is known of its namespace.

    Raises Invalid for a key that its namespace has not.
    """
    if key in _RULES:
        return _RULES[key]
    for pattern, rule in _PATTERNS:
        if pattern.fullmatch(key):
            return rule
    namespace, colon, _ = key.partition(":")
    if colon and namespace in _NAMESPACES:
        raise errors.Invalid(f"Validation failed; {key[:_SHOWN]!r} does not appear to be a valid extra spec.")
    return None


def _text(value: str, key: str) -> None:
    return None


def _whole(least: int | None = None, most: int = _LARGEST) -> Rule:
    low = -_LARGEST if least is None else least

    def rule(value: str, key: str) -> None:
        digits = value.strip()
        if not _INTEGER.fullmatch(digits) or not low <= int(digits) <= most:
            limits = f" from {low} on" if most == _LARGEST else f" from {low} to {most}"
            raise _wrong(value, key, "an integer" + (limits if least is not None else ""))

    return rule


def _truth(value: str, key: str) -> None:
    try:
        strutils.bool_from_string(value, strict=True)
    except ValueError:
        raise _wrong(value, key, "true or false") from None


def _one_of(*words: str) -> Rule:
    def rule(value: str, key: str) -> None:
        if value not in words:
            raise _wrong(value, key, "one of " + ", ".join(words))

    return rule


def _like(pattern: str, form: str) -> Rule:
    wanted = re.compile(pattern, re.ASCII)

    def rule(value: str, key: str) -> None:
        if not wanted.fullmatch(value):
            raise _wrong(value, key, form)

    return rule


def _wrong(value: str, key: str, wanted: str) -> errors.Invalid:
    return errors.Invalid(f"Validation failed; extra spec {key[:_SHOWN]}: {value[:_SHOWN]!r} must be {wanted}.")


def _resource_or_trait(value: str, key: str) -> None:
    match = asked.KEY.fullmatch(key)
    assert match is not None
    if match[1] == "resources":
        asked.resource_class(match[3], key)
        asked.amount(value, key)
    else:
        asked.trait(match[3], key)
        asked.trait_value(value, key)


def _cpus(value: str, key: str) -> None:
    numa.cpu_set(value, key)


_CPU_MASK = _like(r"\^?\d{1,9}(-\d{1,9})?(,\^?\d{1,9}(-\d{1,9})?)*", "a list of CPUs, such as 0-3,^2,6")
_HW: dict[str, Rule] = {
    "boot_menu": _truth,
    "cpu_cores": _whole(1),
    "cpu_dedicated_mask": _CPU_MASK,
    "cpu_policy": _one_of("dedicated", "shared", "mixed"),
    "cpu_realtime": _truth,
    "cpu_realtime_mask": _CPU_MASK,
    "cpu_sockets": _whole(1),
    "cpu_thread_policy": _one_of("prefer", "isolate", "require"),
    "cpu_threads": _whole(1),
    "emulator_threads_policy": _one_of("isolate", "share"),
    "ephemeral_encryption": _truth,
    "ephemeral_encryption_format": _one_of("luks"),
    "hide_hypervisor_id": _truth,
    "locked_memory": _truth,
    "max_cpu_cores": _whole(1),
    "max_cpu_sockets": _whole(1),
    "max_cpu_threads": _whole(1),
    "maxphysaddr_bits": _whole(0),
    "maxphysaddr_mode": _one_of("passthrough", "emulate"),
    "mem_encryption": _truth,
    "mem_encryption_model": _one_of("amd-sev", "amd-sev-es"),
    "mem_page_size": _like(r"large|small|any|\d{1,20}([kKMGT]i?)?(b|bit|B)?", "large, small, any, or a size"),
    "numa_nodes": _whole(1, MAX_GROUPS),
    "pci_numa_affinity_policy": _one_of("required", "preferred", "legacy", "socket"),
    "pmem": _like(r"[a-zA-Z0-9_]+(,[a-zA-Z0-9_]+)*,?", "a list of names, with commas between them"),
    "pmu": _truth,
    "redirected_usb_ports": _whole(0),
    "serial_port_count": _whole(0),
    "sound_model": _text,
    "tpm_model": _one_of("tpm-tis", "tpm-crb"),
    "tpm_secret_security": _text,
    "tpm_version": _one_of("1.2", "2.0"),
    "usb_model": _text,
    "vif_multiqueue_enabled": _truth,
    "viommu_model": _one_of("intel", "smmuv3", "virtio", "auto"),
    "virtio_packed_ring": _truth,
    "watchdog_action": _one_of("none", "pause", "poweroff", "reset", "disabled"),
}
_CAPABILITIES = (
    *("id", "uuid", "service_id", "host", "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used"),
    *("local_gb_used", "hypervisor_type", "hypervisor_version", "hypervisor_hostname", "free_ram_mb", "free_disk_gb"),
    *("current_workload", "running_vms", "disk_available_least", "host_ip", "mapped", "cpu_allocation_ratio"),
    *("ram_allocation_ratio", "disk_allocation_ratio", "total_usable_ram_mb", "total_usable_disk_gb", "disk_mb_used"),
    *("free_disk_mb", "vcpus_total", "num_instances", "num_io_ops", "failed_builds", "aggregates", "cell_uuid"),
    "updated",
)
_NESTED = (
    *("cpu_info", "metrics", "stats", "numa_topology", "supported_hv_specs", "pci_device_pools", "nodename"),
    *("pci_stats", "supported_instances", "limits", "instances"),
)
_RULES: dict[str, Rule] = {
    "accel:device_profile": _text,
    asked.GROUP_POLICY: lambda value, key: asked.group_policy(value),
    "hide_hypervisor_id": _truth,
    "hw_rng:allowed": _truth,
    "hw_rng:rate_bytes": _whole(0),
    "hw_rng:rate_period": _whole(0),
    "hw_video:ram_max_mb": _whole(0),
    "os:secure_boot": _one_of("disabled", "required"),
    asked.ALIAS: lambda value, key: asked.devices(value),
    "vmware:hw_version": _text,
    "vmware:storage_policy": _text,
    **{f"hw:{name}": rule for name, rule in _HW.items()},
    **{f"capabilities:{name}": _text for name in _CAPABILITIES},
    **{f"quota:{what}_shares_level": _text for what in ("cpu", "memory", "disk_io", "vif")},
    **{
        f"quota:{what}_{figure}": _whole()
        for what in ("cpu", "memory", "disk_io", "vif")
        for figure in ("limit", "reservation", "shares_share")
    },
    **{f"quota:cpu_{figure}": _whole(0) for figure in ("shares", "period", "quota")},
    **{f"quota:disk_{way}_{unit}_sec": _whole(0) for way in ("read", "write", "total") for unit in ("bytes", "iops")},
    **{
        f"quota:vif_{way}_{figure}": _whole(0)
        for way in ("inbound", "outbound")
        for figure in ("average", "peak", "burst")
    },
}
_PATTERNS: list[tuple[re.Pattern[str], Rule]] = [
    (asked.KEY, _resource_or_trait),
    (re.compile(r"hw:numa_cpus\.\d{1,9}", re.ASCII), _cpus),
    (re.compile(r"hw:numa_mem\.\d{1,9}", re.ASCII), _whole(1, MAX_UNIT)),
    (re.compile(r"aggregate_instance_extra_specs:.+"), _text),
    (re.compile(rf"capabilities:({'|'.join(_NESTED)})(:\w+)*"), _text),
]
_NAMESPACES = {
    *(key.partition(":")[0] for key in _RULES if ":" in key),
    "aggregate_instance_extra_specs",
}
