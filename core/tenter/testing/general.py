"""Checks that every kit has: what holds of a plugin of any kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tenter.contracts.base import Description, Driver, Plugin, Power
from tenter.plugins import compatible
from tenter.testing.base import Conformance


class PluginConformance(Conformance):
    """Base of the kits of one kind. ``base`` is the kind's contract."""

    base: ClassVar[type[Plugin]]

    def test_contract_is_declared(self) -> None:
        """The class implements the contract and says for itself which version it was written for: one that loads."""
        assert issubclass(self.plugin, self.base), f"{self.plugin.__name__} is no {self.base.__name__}"
        own = [each for each in self.plugin.__mro__ if not issubclass(self.base, each) and "contract" in vars(each)]
        assert own, f"say which version it was written for: contract = {self.base.contract!r}"
        assert compatible(self.plugin.contract, self.base.contract), (
            f"written for {self.plugin.contract!r}, but this is {self.base.contract!r}"
        )

    def test_close_twice(self, make: Callable[..., Any]) -> None:
        """A plugin may be closed twice, and constructed again afterwards."""
        plugin = make()
        plugin.close()
        plugin.close()
        assert make() is not plugin


class DriverConformance(PluginConformance):
    """Base of the kits of drivers."""

    base: ClassVar[type[Driver]]

    def test_describe_names_each_power(self, make: Callable[..., Any]) -> None:
        """A driver that was just constructed describes exactly the powers that its class has: on, or off with a
        reason."""
        description = make().describe()
        assert isinstance(description, Description) and description.name, "describe() returns a Description with a name"
        capabilities = description.capabilities
        for power in powers():
            told = capabilities.get(power.capability)
            if issubclass(self.plugin, power):
                assert told is not None, f"describe() does not say whether {power.capability} is on"
            else:
                assert told is None or not told.on, f"{power.capability} is said to be on, but is no base of the class"
        for name, told in capabilities.items():
            assert told.on or told.reason, f"{name} is off, but nobody says why"

    def test_describe_only_looks(self, make: Callable[..., Any], state_dir: Path) -> None:
        """To describe changes nothing: asked again it says the same, and the state directory holds what it held."""
        driver = make()
        before = contents(state_dir)
        assert driver.describe() == driver.describe()
        assert contents(state_dir) == before


def powers() -> Iterator[type[Power]]:
    """Yield every optional power that there is (that was imported)."""
    waiting = list(Power.__subclasses__())
    while waiting:
        power = waiting.pop()
        waiting += power.__subclasses__()
        if power.__module__.startswith("tenter.contracts."):
            yield power


def contents(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory with what they hold."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def kept_quiet(caplog: pytest.LogCaptureFixture, *secrets: str) -> None:
    """Assert that no line of the log holds one of the secrets."""
    formatter = logging.Formatter()
    for line in map(formatter.format, caplog.records):
        for secret in secrets:
            assert secret not in line, "the log holds a secret"
