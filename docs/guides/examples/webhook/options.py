"""Options of webhook, which can be listed without it."""

from oslo_config import cfg

OPTS = [
    cfg.URIOpt("url", default="http://127.0.0.1:9000/tenter", schemes=["http", "https"], help="Where to post to."),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [("webhook", list(OPTS))]
