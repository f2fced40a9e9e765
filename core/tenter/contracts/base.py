"""What all contracts share."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Description:
    """What a driver is on this host right now: its name, and each power by name, on, or off with a reason."""

    name: str
    capabilities: Mapping[str, Capability] = field(default_factory=dict)


class Plugin:
    """Base of every contract. The constructor takes one ``PluginSetup`` and must be quick."""

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


class Driver(Plugin, abc.ABC):
    """Base of the contracts of which exactly one plugin is chosen."""

    @abc.abstractmethod
    def describe(self) -> Description:
        """Return what this driver on this host is and can do right now.

        Only looks: nothing on the host is changed, and a driver that was just constructed answers too. Every power
        that the class has (its ``Supports…`` bases) stands there under its name: on if it works here, else off with
        the reason. Cheap enough to be called for every guest.
        """


class Power(abc.ABC):
    """Base of optional powers: a driver that has one inherits its class, and its ``describe`` says whether it is on."""

    capability: ClassVar[str]
    """Name of the capability under which ``describe`` reports this power."""


class SupportsTeardown(Power):
    """Power ``teardown``, of virt and network drivers: to take off this host what the plugin made there for itself
    (daemons, bridges, namespaces, files outside of its state directory)."""

    capability = "teardown"

    @abc.abstractmethod
    def teardown(self) -> list[str]:
        """Remove it all and return, as sentences, what is left and why; empty if nothing is.

        Never touches a guest: while there is one, nothing is removed and the sentence says so. Is called on a plugin
        that was just constructed, virt before network; ``init_host`` makes everything anew. Safe to call twice.
        """
