"""What all conformance kits share: a plugin constructed as a service does it, and checks that need a capability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from tenter.conf import new_conf
from tenter.contracts.base import Driver, Plugin, PluginSetup, Power

Check = TypeVar("Check", bound=Callable[..., Any])


def needs(power: type[Power]) -> Callable[[Check], Check]:
    """Mark a check of an optional power: it is skipped, with the reason, for a plugin that does not have it or that
    says of itself that it is off here."""

    def mark(check: Check) -> Check:
        marked: Check = pytest.mark.conformance_needs.with_args(power)(check)
        return marked

    return mark


class Conformance:
    """Base of the kits."""

    kind: ClassVar[str]
    """Kind of plugin, as ``tenter plugin list`` shows it."""

    name: ClassVar[str] = ""
    """Name of the plugin in reports, such as that of its entry point; empty: its class's."""

    plugin: ClassVar[type[Plugin]]
    """The class under test."""

    options: ClassVar[Mapping[str, object]] = {}
    """Options of the plugin's section to construct it with."""

    host: ClassVar[str] = "conformance"
    """Name of the host."""

    @pytest.fixture
    def state_dir(self, tmp_path: Path) -> Path:
        """The directory in which all plugins of one test keep their state."""
        return tmp_path / "state"

    @pytest.fixture
    def make(self, state_dir: Path) -> Iterator[Callable[..., Any]]:
        """Construct the plugin; called again, construct it anew on the same state, as a restarted service does.

        Keyword arguments are options; ``host`` is another host, with a state of its own. All are closed at the end.
        """
        made: list[Plugin] = []

        def construct(host: str | None = None, **options: object) -> Plugin:
            name = host or self.host
            made.append(self.construct(state_dir / name, name, options))
            return made[-1]

        yield construct
        for plugin in reversed(made):
            plugin.close()

    @classmethod
    def construct(cls, state_dir: Path, host: str, options: Mapping[str, object]) -> Plugin:
        """Return the plugin, constructed on that state directory with ``options`` over the class's own."""
        conf = new_conf([], state_dir, host=host)
        section = cls.plugin.section
        if section and cls.plugin.options:
            conf.register_opts(list(cls.plugin.options), group=section)
        for name, value in {**cls.options, **options}.items():
            conf.set_override(name, value, group=section)
        own = state_dir / cls.kind / cls.plugin.__name__
        own.mkdir(parents=True, exist_ok=True)
        return cls.plugin(PluginSetup(conf=conf, state_dir=own, host=host))

    @pytest.fixture
    def ready(self, make: Callable[..., Any]) -> Any:
        """The plugin, ready for work."""
        return make()

    @pytest.fixture(autouse=True)
    def _skip_without_power(self, request: pytest.FixtureRequest) -> None:
        mark = request.node.get_closest_marker("conformance_needs")
        if mark is None:
            return
        (power,) = mark.args
        if not issubclass(self.plugin, power):
            pytest.skip(f"{self.plugin.__name__} has not the power {power.capability} ({power.__name__})")
        driver = request.getfixturevalue("ready")
        capability = driver.describe().capabilities.get(power.capability) if isinstance(driver, Driver) else None
        if capability is not None and not capability.on:
            pytest.skip(f"{power.capability} is off here: {capability.reason}")
