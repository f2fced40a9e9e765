"""The conformance kits of hook listeners and of API extensions."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from tenter.contracts.api import ApiExtension, Route
from tenter.contracts.hooks import HOOKS, HookListener
from tenter.plugins.hooks import hooks_of
from tenter.testing.general import PluginConformance
from tenter.testing.strategies import events, examples

PREFIX = re.compile(r"[a-z0-9][a-z0-9-]*")
PATH = re.compile(r"(/[^/\s]+)*")


class HookConformance(PluginConformance):
    """What must hold of a hook listener::

        class TestAcme(HookConformance):
            plugin = AcmeListener
    """

    kind: ClassVar[str] = "hook"
    base = HookListener

    def test_methods_are_hooks(self) -> None:
        """Each public method is a hook by its name and takes one argument, ``event``; there is at least one."""
        assert hooks_of(self.plugin), "the listener hears nothing"

    def test_hears_every_event(self, ready: Any) -> None:
        """Every event that a hook may have is heard without an error, whatever its texts are and whether what may be
        None is."""
        for name in hooks_of(self.plugin):
            for event in examples(events(HOOKS[name]), 20):
                getattr(ready, name)(event)


class ExtensionConformance(PluginConformance):
    """What must hold of an API extension::

        class TestAcme(ExtensionConformance):
            plugin = AcmeExtension
    """

    kind: ClassVar[str] = "extension"
    base = ApiExtension

    def test_prefix(self) -> None:
        """The prefix is of lower-case letters, digits and hyphens."""
        prefix = getattr(self.plugin, "prefix", None)
        assert isinstance(prefix, str) and PREFIX.fullmatch(prefix), f"the prefix is {prefix!r}"

    def test_routes(self, ready: ApiExtension) -> None:
        """Each route has a path of its own that begins with ``/`` (or is empty) and a resource that answers at least
        one method; they are the same whenever they are asked for."""
        routes = ready.routes()
        assert all(isinstance(route, Route) for route in routes)
        paths = [route.path for route in routes]
        assert all(PATH.fullmatch(path) for path in paths), f"the paths are {paths}"
        assert len(set(paths)) == len(paths), f"a path stands twice in {paths}"
        for route in routes:
            answers = [name for name in dir(route.resource) if re.fullmatch(r"on_[a-z]+", name)]
            assert answers, f"nothing answers at {route.path!r}"
        assert [route.path for route in ready.routes()] == paths
