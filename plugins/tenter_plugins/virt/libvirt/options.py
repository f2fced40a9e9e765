"""Section libvirt: options of the libvirt virt driver."""

from oslo_config import cfg

SECTION = "libvirt"
OPTIONS = [
    cfg.StrOpt("virt_type", default="auto", choices=["auto", "kvm", "qemu"],
               help="How guests are run: kvm (hardware), qemu (emulation, slow), or auto: kvm where it really works."),
    cfg.StrOpt("uri",
               help="libvirt URI of a daemon that runs already, such as qemu:///system. Default: the driver starts a "
                    "daemon of its own below the state directory."),
    cfg.StrOpt("emulator", default="/usr/bin/qemu-system-x86_64", help="Path of the QEMU system emulator."),
    cfg.StrOpt("machine", default="pc", help="QEMU machine type of new guests."),
    cfg.StrOpt("daemon", default="libvirtd", help="Name or path of the daemon that is started if uri is not set."),
    cfg.FloatOpt("daemon_timeout", default=60.0, min=1,
                 help="Seconds that the driver's own daemon is given to start or to stop."),
    cfg.FloatOpt("image_timeout", default=1800.0, min=1, help="Seconds that the conversion of an image may take."),
    cfg.IntOpt("console_log_mib", default=16, min=1,
               help="A guest's console log is cut to its last MiB when it has grown beyond this many MiB."),
]  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, list(OPTIONS))]
