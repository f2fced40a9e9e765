"""Section operations: what is being done to instances."""

from oslo_config import cfg

OPTS = [
    cfg.FloatOpt("lease", default=10.0, min=1,
                 help="Seconds after which an operation whose worker gives no sign of life is taken over."),
    cfg.FloatOpt("poll_interval", default=1.0, min=0.05,
                 help="Seconds between two looks for work; a bell rings sooner for what is new."),
    cfg.FloatOpt("deadline", default=1800.0, min=1, help="Seconds after which an operation that has not ended fails."),
    cfg.IntOpt("max_attempts", default=3, min=1, help="Hosts that are tried for one build."),
    cfg.IntOpt("max_takeovers", default=5, min=1,
               help="Times a step that ended without a word (its worker died) is tried again before it fails."),
    cfg.FloatOpt("retention", default=7 * 86400.0, min=0,
                 help="Seconds for which ended operations are kept; they are what os-instance-actions shows."),
    cfg.IntOpt("workers", default=4, min=1, help="Operations that one conductor drives at once."),
]  # fmt: skip
