"""Section cells: asking many cells, of which some may be away."""

from oslo_config import cfg

OPTS = [
    cfg.FloatOpt("timeout", default=5.0, min=0.05,
                 help="Seconds that a request waits for a cell's answer; then it goes on with what the others say. "
                      "With one cell only there is nothing to go on with, and the database's own limits hold."),
    cfg.FloatOpt("retry_interval", default=5.0, min=0.05,
                 help="Seconds for which a cell that did not answer is not asked again."),
]  # fmt: skip
