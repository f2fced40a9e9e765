"""Options of section ``local_identity``."""

from oslo_config import cfg

SECTION = "local_identity"
OPTS = [
    cfg.IntOpt("token_lifetime", default=8 * 3600, min=1, help="Seconds for which a token is valid."),
    cfg.FloatOpt("refresh_interval", default=1.0, min=0,
                 help="Seconds after which a change that another process made is noticed."),
    cfg.IntOpt("token_cache_size", default=4096, min=1, help="Validated tokens kept in memory."),
]  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, list(OPTS))]
