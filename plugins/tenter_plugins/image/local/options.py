"""Options of section ``local_image``."""

from oslo_config import cfg

SECTION = "local_image"
OPTS = [
    cfg.IntOpt("max_image_bytes", default=1 << 40, min=1, help="Largest image in bytes."),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, list(OPTS))]
