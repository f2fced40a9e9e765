"""Options of the file notifier, which can be listed without it."""

from oslo_config import cfg

SECTION = "notifier_file"
OPTS = [
    cfg.StrOpt("path", help="File to append to; by default notifications.jsonl in the notifier's own directory "
                            "(STATE_DIR/notifier/file). Its directory is made if it is missing. "
                            "Processes of one machine may share it."),
]  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, list(OPTS))]
