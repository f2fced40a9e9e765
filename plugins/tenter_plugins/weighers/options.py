"""Options of section ``weighers``, which the shipped weighers share."""

from oslo_config import cfg

SECTION = "weighers"


def _multiplier(what: str, name: str) -> cfg.Opt:
    return cfg.FloatOpt(
        f"{name}_weight_multiplier", default=1.0,
        help=f"How much free {what} counts; negative stacks instances instead of spreading them.",
    )  # fmt: skip


CPU = _multiplier("vCPUs", "cpu")
RAM = _multiplier("memory", "ram")
DISK = _multiplier("disk", "disk")
BUILD_FAILURE = (
    cfg.FloatOpt(
        "build_failure_weight_multiplier", default=1000.0, min=0,
        help="How much it counts against a host that it failed builds in a row; 0 does not count it.",
    ),
    cfg.IntOpt(
        "build_failure_threshold", default=3, min=1,
        help="Builds in a row that a host must have failed before they count against it.",
    ),
)  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, [CPU, RAM, DISK, *BUILD_FAILURE])]
