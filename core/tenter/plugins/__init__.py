"""How plugins are found, version-checked, constructed and reported on.

The only package that knows stevedore and pluggy.
"""

from __future__ import annotations

import difflib
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from oslo_config import cfg
from stevedore import driver as stevedore_driver
from stevedore import exception as stevedore_exception
from stevedore import named as stevedore_named

from tenter import errors
from tenter.conf import check_values
from tenter.contracts.base import Plugin, PluginSetup

LOG = logging.getLogger(__name__)

GROUPS = {
    "virt": "tenter.virt",
    "network": "tenter.network",
    "image": "tenter.image",
    "identity": "tenter.identity",
    "filter": "tenter.scheduler.filters",
    "weigher": "tenter.scheduler.weighers",
    "hook": "tenter.hooks",
    "notifier": "tenter.notifiers",
    "extension": "tenter.api.extensions",
}
P = TypeVar("P", bound=Plugin)


def _version(contract: str) -> tuple[str, int, int]:
    kind, _, number = contract.partition(" ")
    major, _, minor = number.partition(".")
    return kind, int(major), int(minor)


def compatible(written_for: str, ours: str) -> bool:
    """Return whether a plugin written for one contract version runs with ours: same major, not a newer minor."""
    try:
        kind, major, minor = _version(written_for)
    except ValueError:
        return False
    our_kind, our_major, our_minor = _version(ours)
    return kind == our_kind and major == our_major and minor <= our_minor


def names(kind: str) -> list[str]:
    """Return the names of the installed plugins of one kind, without importing them."""
    # stevedore keeps an index of entry points on disk; importlib.metadata would parse every distribution anew.
    manager: stevedore_named.NamedExtensionManager[Any] = stevedore_named.NamedExtensionManager(GROUPS[kind], [])
    return sorted({entry_point.name for entry_point in manager.list_entry_points()})


def check_installed(kind: str, name: str) -> None:
    """Raise PluginBroken, naming what is near, if no plugin of that kind is installed under ``name``."""
    known = names(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Installed: {', '.join(known) or 'none'}."
        raise errors.PluginBroken(f"No {kind} plugin is called {name!r}.{hint}")


Serve = Callable[[cfg.ConfigOpts, socket.socket, Callable[[], object], int], None]


def load_server(name: str) -> Serve:
    """Return the function that serves the API on a listening socket (entry point group ``tenter.servers``).

    It is given the configuration, the socket, a function that starts the fabric in the serving process, and the number
    of such processes.
    """
    manager: stevedore_driver.DriverManager[Any] = stevedore_driver.DriverManager(
        "tenter.servers", name, invoke_on_load=False, on_load_failure_callback=_raise_load_failure
    )
    return cast("Serve", manager.driver)


def load_class(kind: str, name: str, base: type[P]) -> type[P]:
    """Return the class of the plugin ``name``.

    Raises PluginBroken with a sentence that says what to do: unknown name, import error, wrong class or version.
    """
    check_installed(kind, name)
    try:
        manager: stevedore_driver.DriverManager[Any] = stevedore_driver.DriverManager(
            GROUPS[kind], name, invoke_on_load=False, on_load_failure_callback=_raise_load_failure
        )
    except stevedore_exception.MultipleMatches as exc:
        raise errors.PluginBroken(f"More than one {kind} plugin is called {name!r}; remove one: {exc}") from exc
    cls = manager.driver
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise errors.PluginBroken(f"The {kind} plugin {name!r} is {cls!r}, which is no {base.__name__}.")
    if not compatible(cls.contract, base.contract):
        raise errors.PluginBroken(
            f"The {kind} plugin {name!r} was written for {cls.contract!r}, this is {base.contract!r}; "
            "install a release of it that fits."
        )
    return cls


def _raise_load_failure(manager: object, entry_point: object, exc: BaseException) -> None:
    dist = getattr(getattr(entry_point, "dist", None), "name", None)  # the index of entry points has none
    origin = f" of distribution {dist!r}" if dist else ""
    name = getattr(entry_point, "name", "?")
    raise errors.PluginBroken(
        f"The plugin {name!r}{origin} cannot be imported: {exc}. "
        f"Install what it needs (pip install '.[{name}]' in Tenter's sources for a shipped one) or choose another."
    ) from exc


def load(kind: str, name: str, base: type[P], conf: cfg.ConfigOpts, state_dir: Path, host: str = "localhost") -> P:
    """Construct the plugin ``name`` with its options registered and a state directory of its own.

    Raises PluginBroken.
    """
    cls = load_class(kind, name, base)
    _configure(cls, conf)
    own = state_dir / kind / name
    own.mkdir(parents=True, exist_ok=True)
    try:
        return cls(PluginSetup(conf=conf, state_dir=own, host=host))
    except errors.TenterError:
        raise
    except Exception as exc:
        LOG.debug("Constructor of %s plugin %s failed", kind, name, exc_info=True)
        raise errors.PluginBroken(f"The {kind} plugin {name!r} cannot start: {exc}") from exc


def _configure(cls: type[Plugin], conf: cfg.ConfigOpts) -> None:
    if cls.section and cls.options:
        conf.register_opts(list(cls.options), group=cls.section)
        try:
            check_values(conf, cls.section, cls.options)
        except cfg.Error as exc:
            raise errors.Invalid(f"The configuration cannot be used: {exc}") from exc


def load_all(
    kind: str, wanted: Sequence[str], base: type[P], conf: cfg.ConfigOpts, state_dir: Path
) -> list[tuple[str, P]]:
    """Construct an ordered set of extensions; one that is broken is left out with an error in the log."""
    found: list[tuple[str, P]] = []
    for name in wanted:
        try:
            cls = load_class(kind, name, base)
            _configure(cls, conf)
            found.append((name, cls(PluginSetup(conf=conf, state_dir=state_dir))))
        except Exception as exc:
            LOG.error("The %s %s is left out: %s", kind, name, exc)
    return found
