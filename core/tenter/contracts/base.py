"""What all contracts share."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from oslo_config import cfg


@dataclass(frozen=True)
class PluginSetup:
    """What a plugin is constructed with.

    ``conf`` holds the plugin's own options in the section named by its class's ``section``; ``state_dir`` is a
    directory of the plugin's own that exists and outlives restarts; ``host`` is the host's name.
    """

    conf: cfg.ConfigOpts
    state_dir: Path
    host: str = "localhost"


@dataclass(frozen=True)
class Capability:
    """One power, probed on this host: on, or off with a reason."""

    on: bool
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Plugin:
    """Base of every driver contract. The constructor takes one ``PluginSetup`` and must be quick."""

    contract: ClassVar[str]
    """Contract and version this class was written for, such as ``"virt 1.0"``."""

    section: ClassVar[str] = ""
    """Name of the configuration section that holds ``options``."""

    options: ClassVar[Sequence[cfg.Opt]] = ()
    """oslo.config options of this plugin; registered under ``section`` before it is constructed."""

    def __init__(self, setup: PluginSetup) -> None:
        self.setup = setup

    def close(self) -> None:
        """Give back threads, connections and child processes. Guests go on running. Safe to call twice."""


class SupportsTeardown(abc.ABC):
    """Power ``teardown``, of virt and network drivers: to take off this host what the plugin made there for itself
    (daemons, bridges, namespaces, files outside of its state directory)."""

    @abc.abstractmethod
    def teardown(self) -> list[str]:
        """Remove it all and return, as sentences, what is left and why; empty if nothing is.

        Never touches a guest: while there is one, nothing is removed and the sentence says so. Is called on a plugin
        that was just constructed, virt before network; ``init_host`` makes everything anew. Safe to call twice.
        """
