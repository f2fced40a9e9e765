"""Section fake: options of the fake virt driver."""

from oslo_config import cfg

SECTION = "fake"
OPTIONS = [
    cfg.IntOpt("vcpus", default=4096, min=1, help="CPUs that the host pretends to have."),
    cfg.IntOpt("memory_mib", default=16 * 1024 * 1024, min=1, help="MiB of memory it pretends to have."),
    cfg.IntOpt("disk_gib", default=1024 * 1024, min=1, help="GiB of disk it pretends to have."),
    cfg.StrOpt("inventories", default="",
               help='Further resource classes, or more on VCPU, MEMORY_MB and DISK_GB, as JSON: an amount, or total, '
                    'reserved, ratio, step_size, min_unit and max_unit. '
                    'Example: {"VGPU": 4, "PCPU": {"total": 8, "step_size": 2}}.'),
    cfg.ListOpt("traits", default=[], help="Traits that it pretends to have: HW_CPU_X86_AVX2,CUSTOM_FAST."),
    cfg.StrOpt("providers", default="",
               help='Its parts (NUMA nodes, PCI devices, GPUs), as a JSON list. Example: [{"name": "numa0", '
                    '"inventories": {"PCPU": 4}, "traits": ["HW_NUMA_ROOT"]}, {"name": "gpu0", "parent": "numa0", '
                    '"inventories": {"VGPU": 2}}].'),
    cfg.FloatOpt("spawn_delay", default=0.0, min=0, help="Seconds that each spawn takes before the network is read."),
    cfg.FloatOpt("power_delay", default=0.0, min=0, help="Seconds that start, stop and reboot take."),
    cfg.FloatOpt("destroy_delay", default=0.0, min=0, help="Seconds that each destroy takes."),
    cfg.DictOpt("faults", default={},
                help="Probability (0 to 1) that a call fails, by method: spawn:0.1,destroy:0.05."),
    cfg.BoolOpt("accepts_unfinished_network", default=True,
                help="Whether the driver takes a network that is still being allocated."),
]  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, list(OPTIONS))]
