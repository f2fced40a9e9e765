"""Options of section ``weighers``, which the shipped weighers share."""

from __future__ import annotations

import re
from collections.abc import Sequence

from oslo_config import cfg, types

SECTION = "weighers"
_RATIO = re.compile(r"\s*[^=\s][^=]*=\s*[+-]?\d{1,9}(\.\d{1,9})?\s*")


class Ratio(types.String):
    """The type of ``name=number``."""

    def __call__(self, value: object) -> str:
        """Return the text. Raises ValueError for one that is nothing of the kind."""
        text = str(super().__call__(value))
        if not _RATIO.fullmatch(text):
            raise ValueError(f"{text!r} is not NAME=NUMBER, such as cpu.percent=-1.5")
        return text


def ratios(settings: Sequence[str]) -> dict[str, float]:
    """Return the ratios that a list of ``name=ratio`` sets, by name."""
    pairs = (setting.split("=") for setting in settings)
    return {name.strip(): float(ratio) for name, ratio in pairs}


def _multiplier(name: str, default: float, text: str, least: float | None = None) -> cfg.Opt:
    return cfg.FloatOpt(f"{name}_weight_multiplier", default=default, min=least, help=text)


def _free(what: str, name: str) -> cfg.Opt:
    return _multiplier(name, 1.0, f"How much free {what} counts; negative stacks instances instead of spreading them.")


CPU = _free("vCPUs", "cpu")
RAM = _free("memory", "ram")
DISK = _free("disk", "disk")
IO_OPS = _multiplier(
    "io_ops", -1.0,
    "How much it counts that instances of a host are being built, resized, moved or copied; negative prefers hosts "
    "with few of them.",
)  # fmt: skip
NUM_INSTANCES = _multiplier(
    "num_instances", 0.0,
    "How much it counts how many instances a host has: positive prefers those with many, negative those with few, 0 "
    "does not count them.",
)  # fmt: skip
HYPERVISOR_VERSION = _multiplier(
    "hypervisor_version", 1.0, "How much a newer version of the hypervisor counts; negative prefers older ones."
)
PCI = _multiplier(
    "pci", 1.0,
    "How much it counts that a host has few free PCI devices, so that those with many are kept for servers that need "
    "them; 0 does not count it.",
    least=0,
)  # fmt: skip
SOFT_AFFINITY = _multiplier(
    "soft_affinity", 1.0, "How much it counts to be with others of a soft-affinity group.", least=0
)
SOFT_ANTI_AFFINITY = _multiplier(
    "soft_anti_affinity", 1.0, "How much it counts to be away from others of a soft-anti-affinity group.", least=0
)
CROSS_CELL = _multiplier(
    "cross_cell_move", 1_000_000.0,
    "How much it counts that a server which moves stays in its cell; negative prefers other cells.",
)  # fmt: skip
METRICS = (
    _multiplier("metrics", 1.0, "How much the sum of a host's weighed metrics counts."),
    cfg.ListOpt(
        "metrics_weight_setting", default=[], item_type=Ratio(),
        help="Which metrics of hosts are weighed and by how much, such as cpu.percent=-1.0, cpu.frequency=0.1; none if "
             "empty.",
    ),
    cfg.FloatOpt(
        "metrics_weight_of_unavailable", default=-10000.0, min=-1e100, max=1e100,
        help="The sum for a host that does not report a metric which is weighed.",
    ),
)  # fmt: skip
IMAGE_PROPERTIES = (
    _multiplier(
        "image_props", 0.0,
        "How much it counts that the instances of a host have image properties of the same value: positive packs, "
        "negative spreads, 0 does not count it.",
    ),
    cfg.ListOpt(
        "image_props_weight_setting", default=[], item_type=Ratio(),
        help="Which image properties are compared and by how much each counts, such as os_distro=10, "
             "hw_machine_type=1; all of them alike if empty.",
    ),
)  # fmt: skip
BUILD_FAILURE = (
    _multiplier(
        "build_failure", 1_000_000.0,
        "How much it counts against a host that it failed builds in a row; 0 does not count it.",
        least=0,
    ),
    cfg.IntOpt(
        "build_failure_threshold", default=3, min=1,
        help="Builds in a row that a host must have failed before they count against it.",
    ),
)  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    single = (
        CPU, RAM, DISK, IO_OPS, NUM_INSTANCES, HYPERVISOR_VERSION, PCI, SOFT_AFFINITY, SOFT_ANTI_AFFINITY, CROSS_CELL,
    )  # fmt: skip
    return [(SECTION, [*single, *METRICS, *IMAGE_PROPERTIES, *BUILD_FAILURE])]
