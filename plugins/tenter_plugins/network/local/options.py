"""Options of section ``local_network``."""

from oslo_config import cfg

SECTION = "local_network"
OPTS = [
    cfg.StrOpt(
        "mode",
        default="auto",
        choices=[
            ("auto", "none for the fake virt driver, bridge as root, user otherwise"),
            ("bridge", "bridges and DHCP in a network namespace of their own; needs root"),
            ("user", "user-mode networking of the hypervisor; every guest is on a private network"),
            ("none", "addresses are allocated, nothing is wired"),
        ],
        help="How guests are wired.",
    ),
    cfg.StrOpt(
        "network_name", default="private", help="Name of the shared network that the first start makes."
    ),
    cfg.StrOpt(
        "cidr",
        default="10.77.0.0/16",
        help="IPv4 range of that network. Used at the first start only.",
    ),
    cfg.ListOpt("dns", default=[], help="Name servers that guests of that network are told."),
    cfg.IntOpt("mtu", default=1500, min=576, max=65535, help="MTU of new networks in bytes."),
    cfg.IntOpt("dhcp_lease", default=86400, min=120, help="Seconds that a DHCP lease lasts."),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, list(OPTS))]
