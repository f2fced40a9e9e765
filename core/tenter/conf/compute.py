"""Section compute: the process that carries out steps on a host."""

from oslo_config import cfg

OPTS = [
    cfg.IntOpt("workers", default=8, min=1, help="Guests that are worked on at once on one host."),
    cfg.FloatOpt("report_interval", default=10.0, min=0.1,
                 help="Seconds between two signs of life of a service, and two looks at its resources."),
    cfg.FloatOpt("service_down_time", default=60.0, min=1, help="Seconds without a sign of life until a host is down."),
    cfg.FloatOpt("power_sync_interval", default=5.0, min=0.1,
                 help="Seconds between two comparisons of what guests do with what is recorded."),
    cfg.StrOpt("unknown_guests", default="report", choices=["report", "destroy"],
               help="What is done with a guest of ours that no server belongs to. Whoever restores a database from a "
                    "copy should not have chosen destroy."),
    cfg.FloatOpt("guest_audit_interval", default=60.0, min=0.1,
                 help="Seconds between two looks for guests that no server belongs to, and for servers without guest."),
    cfg.FloatOpt("shutdown_timeout", default=20.0, min=0,
                 help="Seconds a guest is given to stop by itself before it is forced off."),
    cfg.FloatOpt("network_timeout", default=120.0, min=1,
                 help="Seconds a build waits for its network to be allocated."),
    cfg.FloatOpt("cpu_allocation_ratio", default=16.0, min=0.1, help="Virtual CPUs offered for each real one."),
    cfg.FloatOpt("ram_allocation_ratio", default=1.0, min=0.1, help="MiB of memory offered for each real one."),
    cfg.FloatOpt("disk_allocation_ratio", default=1.0, min=0.1, help="GiB of disk offered for each real one."),
    cfg.IntOpt("reserved_host_memory_mb", default=512, min=0, help="MiB of memory kept for the host itself."),
    cfg.StrOpt("availability_zone", default="nova", help="Zone of hosts that are in no other."),
    cfg.IntOpt("console_bytes", default=100 * 1024, min=1024, help="Most bytes of a console log that are given out."),
]  # fmt: skip
