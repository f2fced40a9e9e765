"""Conformance kits: what must hold of a plugin, as tests that its author runs with pytest.

A kit is a class of checks. A subclass with the plugin's class makes them run::

    from tenter.testing import VirtConformance
    from tenter_acme.driver import AcmeDriver

    class TestAcme(VirtConformance):
        plugin = AcmeDriver

Each kit's other attributes have defaults that do for a plugin that needs nothing special; see its docstring.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenter.testing.base import Conformance as Conformance
    from tenter.testing.base import needs as needs
    from tenter.testing.feature import FeatureConformance as FeatureConformance
    from tenter.testing.filter import FilterConformance as FilterConformance
    from tenter.testing.hook import ExtensionConformance as ExtensionConformance
    from tenter.testing.hook import HookConformance as HookConformance
    from tenter.testing.identity import IdentityConformance as IdentityConformance
    from tenter.testing.image import ImageConformance as ImageConformance
    from tenter.testing.network import NetworkConformance as NetworkConformance
    from tenter.testing.notifier import NotifierConformance as NotifierConformance
    from tenter.testing.virt import VirtConformance as VirtConformance
    from tenter.testing.weigher import WeigherConformance as WeigherConformance

_HOMES = {
    "Conformance": "tenter.testing.base",
    "VirtConformance": "tenter.testing.virt",
    "needs": "tenter.testing.base",
    "FeatureConformance": "tenter.testing.feature",
    "FilterConformance": "tenter.testing.filter",
    "IdentityConformance": "tenter.testing.identity",
    "ImageConformance": "tenter.testing.image",
    "NetworkConformance": "tenter.testing.network",
    "NotifierConformance": "tenter.testing.notifier",
    "HookConformance": "tenter.testing.hook",
    "ExtensionConformance": "tenter.testing.hook",
    "WeigherConformance": "tenter.testing.weigher",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a kit when it is asked for: an author of filters need not load the kit of virt drivers."""
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)
