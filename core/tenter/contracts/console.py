"""The contract of console proxies, version 1.0: how a user's browser or client reaches a guest's console."""

from __future__ import annotations

import abc
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tenter.contracts.base import Driver

CONTRACT = "console 1.0"


class ConsoleType(enum.Enum):
    """What is spoken at a guest's console."""

    VNC = "vnc"
    SPICE = "spice"
    SERIAL = "serial"
    MKS = "mks"


@dataclass(frozen=True)
class ConsoleEndpoint:
    """Where a guest's console listens: TCP ``host`` and ``port``, or a Unix socket at ``path`` of its compute host.

    ``password`` is what the protocol itself asks for, if anything.
    """

    type: ConsoleType
    host: str = ""
    port: int = 0
    path: str = ""
    password: str | None = field(default=None, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenConsole:
    """A user wants the console of an instance. ``type`` is the Compute API's (``novnc``, ``serial``, ``spice-html5``,
    …); the access ends at ``expires_at``, seconds since the epoch."""

    instance_uuid: str
    type: str
    endpoint: ConsoleEndpoint
    expires_at: float


@dataclass(frozen=True)
class ConsoleAccess:
    """The URL that the user is given; it holds a secret."""

    url: str = field(repr=False)


class ConsoleProxy(Driver):
    """What every console proxy must do. All methods are thread-safe."""

    contract = CONTRACT

    @abc.abstractmethod
    def types(self) -> Mapping[str, ConsoleType]:
        """Return the console types of the Compute API that this proxy serves, and what each needs of the guest."""

    @abc.abstractmethod
    def open(self, request: OpenConsole) -> ConsoleAccess:
        """Return a URL by which this console, and no other, can be reached until the access expires. Raises
        CapabilityMissing for a type that is not served."""

    @abc.abstractmethod
    def close_all(self, instance_uuid: str) -> None:
        """End every access to the instance's consoles, and the connections that use it. None there is no error."""
