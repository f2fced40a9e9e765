"""Section migration: what hosts agree on for live migrations."""

from oslo_config import cfg

OPTS = [
    cfg.MultiStrOpt("features", default=[],
                    help="Name of a migration feature that this host offers to others; give one line for each, in any "
                         "number of files."),
]  # fmt: skip
