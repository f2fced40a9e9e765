"""How a line of the log looks."""

from __future__ import annotations

import logging

from oslo_config import cfg
from oslo_log.formatters import ContextFormatter


class LineFormatter(ContextFormatter):
    """oslo.log's, which adds to a warning the error that is being handled; ours say it in their own words."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = str(super().format(record))
        summary = getattr(record, "error_summary", "")
        return line.removesuffix(f": {summary}") if summary and not record.exc_info else line


def say_errors_once(conf: cfg.ConfigOpts) -> None:
    """Change the lines of what oslo.log has set up."""
    for handler in logging.getLogger().handlers:
        if type(handler.formatter) is ContextFormatter:
            handler.setFormatter(LineFormatter(project="tenter", datefmt=conf.log_date_format, config=conf))
