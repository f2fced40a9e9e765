"""Sections hooks and notifications: who hears what happens."""

import math
from typing import Any

from oslo_config import cfg, types


class Seconds(types.Float):
    """A number of seconds between two bounds, which oslo.config takes "nan" for, and nothing at all."""

    def __call__(self, value: Any) -> float:
        """Return it. Raises ValueError."""
        seconds = super().__call__(value)
        if seconds is None or math.isnan(seconds):
            raise ValueError(f"Should be a number from {self.min:g} to {self.max:g}")
        return float(seconds)


OPTS = [
    cfg.MultiStrOpt("enabled", default=[],
                    help="Name of a hook listener that is called; give one line for each, in any number of files."),
    cfg.Opt("budget", default=1.0, type=Seconds(0.01, 3600.0),
                 help="Seconds that a listener or notifier may take for one event. A slower one is logged and counted; "
                      "one that does not return within ten times as long is not called again."),
    cfg.IntOpt("queue_size", default=10000, min=1,
               help="Events that may wait for listeners and notifiers in one process; more are dropped and counted."),
]  # fmt: skip

NOTIFICATION_OPTS = [
    cfg.MultiStrOpt("notifiers", default=[],
                    help="Name of a notifier that is given all events; give one line for each, in any number of "
                         "files."),
]  # fmt: skip
