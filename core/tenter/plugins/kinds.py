"""The kinds of plugins there are, and how those of a kind are enabled."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any, cast

from oslo_config import cfg

from tenter import errors
from tenter.contracts.base import Plugin


@dataclass(frozen=True)
class Kind:
    """One kind of plugin. ``options`` (``section.name``) say which are enabled: one name of a driver, names in order
    of an extension. ``contract`` (``module:Class``) is imported only when a plugin of the kind is loaded."""

    name: str
    group: str
    contract: str
    options: tuple[str, ...]
    driver: bool = False
    optional: bool = False
    """Of a driver: none need be chosen."""

    check: str = ""
    """``module:function`` that is called with a plugin's class, and raises PluginBroken for one that cannot be used."""

    def checked(self, cls: type[Plugin]) -> object:
        """Return what ``check`` returns for a class. Raises PluginBroken."""
        return _imported(self.check)(cls) if self.check else None

    def base(self) -> type[Plugin]:
        """Return the contract's class."""
        return cast("type[Plugin]", _imported(self.contract))

    @property
    def where(self) -> str:
        """The options that enable plugins of the kind, as ``[section] name``."""
        return " or ".join("[{0}] {2}".format(*option.rpartition(".")) for option in self.options)


def _imported(what: str) -> Any:
    module, _, name = what.partition(":")
    return getattr(importlib.import_module(module), name)


def _driver(name: str, contract: str, optional: bool = False) -> Kind:
    return Kind(name, f"tenter.{name}", contract, (f"DEFAULT.{name}_driver",), driver=True, optional=optional)


def _extension(name: str, group: str, contract: str, *options: str, check: str = "") -> Kind:
    return Kind(name, group, contract, options, check=check)


KINDS = {
    kind.name: kind
    for kind in (
        _driver("virt", "tenter.contracts.virt:VirtDriver"),
        _driver("network", "tenter.contracts.network:NetworkDriver"),
        _driver("image", "tenter.contracts.image:ImageDriver"),
        _driver("volume", "tenter.contracts.volume:VolumeDriver", optional=True),
        _driver("identity", "tenter.contracts.identity:IdentityDriver"),
        _extension("filter", "tenter.scheduler.filters", "tenter.contracts.filter:Filter",
                   "scheduler.filters", "scheduler.extra_filters", check="tenter.plugins.kinds:check_filter"),
        _extension("weigher", "tenter.scheduler.weighers", "tenter.contracts.weigher:Weigher",
                   "scheduler.weighers", "scheduler.extra_weighers", check="tenter.plugins.kinds:check_weigher"),
        _extension("feature", "tenter.migration.features", "tenter.contracts.migration:MigrationFeature",
                   "migration.features"),
        _extension("hook", "tenter.hooks", "tenter.contracts.hooks:HookListener", "hooks.enabled",
                   check="tenter.plugins.hooks:hooks_of"),
        _extension("notifier", "tenter.notifiers", "tenter.contracts.notifier:Notifier", "notifications.notifiers"),
        _extension("extension", "tenter.api.extensions", "tenter.contracts.api:ApiExtension", "api.extensions"),
    )
}  # fmt: skip


def check_filter(cls: type) -> None:
    """Raise PluginBroken unless a class is a rule for one host or a mask."""
    from tenter.contracts.filter import HostFilter, MaskFilter

    _check_one_of(cls, HostFilter, MaskFilter)


def check_weigher(cls: type) -> None:
    """Raise PluginBroken unless a class is of a number for one host or of a column."""
    from tenter.contracts.weigher import ColumnWeigher, HostWeigher

    _check_one_of(cls, HostWeigher, ColumnWeigher)


def _check_one_of(cls: type, *bases: type) -> None:
    if sum(issubclass(cls, base) for base in bases) != 1:
        raise errors.PluginBroken(f"it must be one of {' and '.join(base.__name__ for base in bases)}.")


GROUPS = {kind.name: kind.group for kind in KINDS.values()}


def enabled(kind: str, conf: cfg.ConfigOpts) -> list[str]:
    """Return the names of the plugins of a kind that the configuration enables, in order, each once.

    Several may stand in one value of an option that adds up over files, separated by commas, as in one that does not.
    """
    found: dict[str, None] = {}
    for option in KINDS[kind].options:
        section, _, name = option.rpartition(".")
        place = None if section == "DEFAULT" else section
        value = conf[name] if place is None else conf[place][name]
        location = conf.get_location(name, place)
        if location is not None and location.location is cfg.Locations.environment:
            value = os.environ[location.detail]  # of an option that adds up oslo.config makes a value of each letter
        for word in [value] if isinstance(value, str) else value or ():
            found.update(dict.fromkeys(filter(None, (part.strip() for part in word.split(",")))))
    return list(found)
