"""Section cells: asking many cells, of which some may be away."""

from oslo_config import cfg

OPTS = [
    cfg.FloatOpt("timeout", default=5.0, min=0.05,
                 help="Seconds that a request which reads waits for the cells' answers; then it goes on with what the "
                      "others say (with one cell only there is nothing to go on with, and the database's own limits "
                      "hold). Also how long a delete waits for its cell until it is kept, to be brought there later; "
                      "and how long the API and conductors that are processes of their own wait to write in a cell "
                      "on SQLite that others keep locked."),
    cfg.FloatOpt("retry_interval", default=5.0, min=0.05,
                 help="Seconds for which a cell that did not answer is not asked again."),
]  # fmt: skip
