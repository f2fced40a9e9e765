"""Sections hooks and notifications: who hears what happens."""

from oslo_config import cfg

OPTS = [
    cfg.MultiStrOpt("enabled", default=[],
                    help="Name of a hook listener that is called; give one line for each, in any number of files."),
    cfg.FloatOpt("budget", default=1.0, min=0.01,
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
