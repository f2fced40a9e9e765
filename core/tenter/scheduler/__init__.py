"""Where an instance goes: filters, weighers, and why."""

from tenter.scheduler.pipeline import Candidate, Decision, Scheduler

__all__ = ["Candidate", "Decision", "Scheduler"]
