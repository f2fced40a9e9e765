"""Where an instance goes: filters, weighers, and why."""

from tenter.scheduler.decision import Candidate, Decision
from tenter.scheduler.pipeline import Scheduler

__all__ = ["Candidate", "Decision", "Scheduler"]
