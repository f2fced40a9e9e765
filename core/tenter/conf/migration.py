"""Section migration: how instances move between hosts."""

from oslo_config import cfg

OPTS = [
    cfg.MultiStrOpt("features", default=[],
                    help="Name of a migration feature that this host offers at live migrations; give one line for "
                         "each, in any number of files."),
]  # fmt: skip
