"""Section database: where rows are kept."""

from oslo_config import cfg

OPTS = [
    cfg.StrOpt("api_connection", secret=True,
               help="SQLAlchemy URL of the API database. Default: the SQLite file api.sqlite in the state directory."),
    cfg.StrOpt("cell_connection", secret=True,
               help="SQLAlchemy URL of the first cell's database. Default: cell1.sqlite in the state directory."),
    cfg.FloatOpt("retry_interval", default=5.0, min=0.1,
                 help="Seconds between two attempts to open the database of a cell that is away."),
    cfg.IntOpt("pool_size", default=32, min=1, help="Connections kept open to each database."),
]  # fmt: skip
