"""Section ``lxc``: the driver's options. A module of its own, so that listing them needs no libvirt."""

from __future__ import annotations

from oslo_config import cfg

SECTION = "lxc"
OPTIONS = [
    cfg.StrOpt("init", default="/sbin/init", help="Path, in the container, of the first process of a guest."),
    cfg.IntOpt("idmap_base", default=1_000_000, min=65536, max=2**32 - 2**17,
               help="Root of a guest is this user of the host, its user 1 the next, and so on for 65536 users and "
                    "groups. Nobody else may use these numbers. Guests keep those that they were made with."),
    cfg.StrOpt("daemon", default="libvirtd", help="Name or path of the libvirt daemon that the driver starts."),
    cfg.FloatOpt("daemon_timeout", default=30.0, min=1, help="Seconds that the daemon is given to start or to end."),
    cfg.FloatOpt("unpack_timeout", default=600.0, min=1, help="Seconds that the unpacking of an image may take."),
    cfg.IntOpt("console_log_mib", default=16, min=1,
               help="A guest's console log is cut to its last MiB when it has grown beyond this many MiB."),
]  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, list(OPTIONS))]
