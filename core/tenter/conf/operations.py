"""Section operations: what is being done to instances."""

from oslo_config import cfg

KINDS = ("build", "rebuild", "start", "stop", "reboot")
"""Kinds of operations that fail at a deadline. A delete does not: what was promised is done, however long it takes."""


def deadline_of(conf: cfg.ConfigOpts, kind: str) -> float:
    """Return the seconds that an operation of a kind is given."""
    own = conf.operations[f"deadline_{kind}"] if kind in KINDS else None
    return float(conf.operations.deadline if own is None else own)


OPTS = [
    cfg.FloatOpt("lease", default=10.0, min=1,
                 help="Seconds after which an operation whose worker gives no sign of life is taken over."),
    cfg.FloatOpt("poll_interval", default=0.5, min=0.05,
                 help="Seconds between two looks for work; a bell rings sooner for what is new. What a dead worker "
                    "had is taken over within lease and poll_interval."),
    cfg.FloatOpt("deadline", default=1800.0, min=1, help="Seconds after which an operation that has not ended fails."),
    *(cfg.FloatOpt(f"deadline_{kind}", min=1, help=f"The same for a {kind}; by default it is deadline.")
      for kind in KINDS),
    cfg.IntOpt("max_attempts", default=3, min=1, help="Hosts that are tried for one build."),
    cfg.IntOpt("max_takeovers", default=5, min=1,
               help="Times a step that ended without a word (its worker died) is tried again before it fails."),
    cfg.IntOpt("delete_retries", default=3, min=0,
               help="Times that a delete tries again (after 1, 2, 4, … s) what a host or the network driver fails at. "
                    "Then the server goes, and what is left is removed later."),
    cfg.FloatOpt("retention", default=7 * 86400.0, min=0,
                 help="Seconds for which ended operations are kept; they are what os-instance-actions shows."),
    cfg.FloatOpt("watch_interval", default=2.0, min=0.05,
                 help="Seconds between two looks of a conductor for hosts that went down and deadlines that passed."),
    cfg.FloatOpt("audit_interval", default=300.0, min=0,
                 help="Seconds between two audits, which compare all records with each other; 0: only 'tenter audit'."),
    cfg.BoolOpt("audit_repair", default=True, help="Whether these audits repair what they can prove to be wrong."),
    cfg.FloatOpt("audit_grace", default=60.0, min=0,
                 help="Seconds for which something must have been found wrong until these audits repair it."),
    cfg.IntOpt("workers", default=4, min=1, help="Operations that one conductor drives at once."),
]  # fmt: skip
