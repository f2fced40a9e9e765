"""Telling listeners what happens: the part that every process has, whether anybody listens or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from tenter.contracts.hooks import Event
from tenter.plugins.kinds import enabled


@dataclass(frozen=True)
class HookCount:
    """How one listener or notifier (``kind``) fared with one hook in this process."""

    kind: str
    plugin: str
    hook: str
    calls: int
    failures: int
    slow: int


@dataclass(frozen=True)
class HookFigures:
    """What was counted in this process since its start."""

    counts: Sequence[HookCount] = ()
    taken_out: Sequence[tuple[str, str]] = ()
    """Kind and name of each plugin that did not return and is not called any more."""

    dropped: int = 0
    """Events that nobody was told, for too many were waiting."""


class Emitter:
    """Tells listeners of events; this one has none.

    Whoever emits asks ``active`` first, so that where nobody listens no event is made.
    """

    active = False

    def __init__(self, host: str = "localhost") -> None:
        self.host = host

    def emit(self, event: Event) -> None:
        """Put an event into the queue. Takes microseconds, waits for nobody and raises nothing."""

    def figures(self) -> HookFigures:
        """Return what was counted."""
        return HookFigures()

    def close(self) -> None:
        """Take no more events, tell those that wait within the budget, and close the listeners. Safe to call twice."""


SILENT = Emitter()
"""For processes and parts that tell nobody anything."""


def open_emitter(conf: cfg.ConfigOpts) -> Emitter:
    """Return what tells the listeners and notifiers that the configuration enables; a broken one is left out with an
    error in the log."""
    if not enabled("hook", conf) and not enabled("notifier", conf):
        return Emitter(conf.host)
    from tenter.plugins import hooks  # only who has listeners pays for pluggy

    return hooks.open_dispatcher(conf, Path(conf.state_dir))
