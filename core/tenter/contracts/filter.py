"""The contract of scheduler filters, version 1.0."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field

from tenter.contracts.base import Plugin
from tenter.contracts.scheduling import HostView, PlacementRequest

CONTRACT = "filter 1.0"


@dataclass(frozen=True)
class Verdict:
    """A filter's answer: yes, or no with a short stable code and the figures that decided."""

    ok: bool
    code: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)

    @staticmethod
    def reject(code: str, **figures: object) -> Verdict:
        """Return a refusal, such as ``Verdict.reject("ram.short", asked=4096, free=1024)``."""
        return Verdict(False, code, figures)


ACCEPT = Verdict(True)


class HostFilter(Plugin, abc.ABC):
    """A rule for one host."""

    contract = CONTRACT

    @abc.abstractmethod
    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return whether the host may take the instance, and if not, why."""
