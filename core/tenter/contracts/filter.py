"""The contract of scheduler filters, version 1.0.

A filter is a rule for one host (:class:`HostFilter`, the simplest to write), or a mask over all hosts at once
(:class:`MaskFilter`, fast where hosts are many). Both kinds stand in one pipeline; masks come first.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from tenter.contracts.base import Plugin
from tenter.contracts.scheduling import HostView, PlacementRequest
from tenter.contracts.table import HostTable, Verdicts

CONTRACT = "filter 1.0"


@dataclass(frozen=True)
class Verdict:
    """A filter's answer for one host: yes, or no with a short stable code and the figures that decided."""

    ok: bool
    code: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)

    @staticmethod
    def reject(code: str, **figures: object) -> Verdict:
        """Return a refusal, such as ``Verdict.reject("ram.short", asked=4096, free=1024)``."""
        return Verdict(False, code, figures)


ACCEPT = Verdict(True)


class Filter(Plugin, abc.ABC):
    """What both kinds are."""

    contract = CONTRACT

    prompt: ClassVar[bool] = False
    """Whether it only computes with what it is given: no file, network, lock or sleep, ever. Then it is asked in the
    thread of who decides, which is faster; any other is asked in one beside it, so that it may never come back."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Which columns of ``table.ON_REQUEST`` it reads. They are kept only while one that is
    enabled needs them."""


class HostFilter(Filter):
    """A rule for one host."""

    def applies(self, request: PlacementRequest) -> bool:
        """Return whether it has anything to say of a request; if not, it is asked about no host."""
        return True

    @abc.abstractmethod
    def accepts(self, host: HostView, request: PlacementRequest) -> Verdict:
        """Return whether the host may take the instance, and if not, why."""


class MaskFilter(Filter):
    """A mask over all hosts."""

    @abc.abstractmethod
    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return which hosts may take the instance, and why the others may not.

        What is said of a host depends on its own row only: a table of that row alone has the same answer.
        """
