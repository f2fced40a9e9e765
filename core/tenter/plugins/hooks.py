"""Which listener implements which hook. The only module that knows pluggy."""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pluggy
from oslo_config import cfg

from tenter import errors
from tenter.contracts.hooks import HOOKS, HookListener, HookSpecs
from tenter.contracts.notifier import Notifier
from tenter.plugins import enabled, load_all
from tenter.plugins.dispatch import Call, Dispatcher, Listener
from tenter.plugins.emitter import Emitter
from tenter.plugins.guard import words_of
from tenter.plugins.loading import find
from tenter.plugins.notifications import Forwarder, Notifications

LOG = logging.getLogger(__name__)


def hooks_of(cls: type) -> list[str]:
    """Return the names of the hooks that a class of listeners implements, in the order of the specification.

    Raises PluginBroken with a sentence for a public method that is no hook, or cannot be called as one.
    """
    found = set()
    for name in _callables(cls):
        if name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, 1)
            hint = f"; did you mean {near[0]}?" if near else f": these are {', '.join(HOOKS)}."
            raise errors.PluginBroken(f"{name} is no hook{hint} A method for its own use begins with '_'.")
        _check_signature(name, inspect.getattr_static(cls, name))
        found.add(name)
    return [name for name in HOOKS if name in found]


def _callables(cls: type) -> list[str]:
    """Return the names of what a class has of its own to be called by others. Raises PluginBroken."""
    try:
        own = [name for name in dir(cls) if not name.startswith("_") and not hasattr(HookListener, name)]
        return [name for name in own if callable(getattr(cls, name))]
    except BaseException as exc:  # of a descriptor or a metaclass
        raise errors.PluginBroken(f"its attributes cannot be read: {type(exc).__name__}: {words_of(exc)}") from exc


def _check_signature(name: str, method: object) -> None:
    if not inspect.isfunction(method):
        raise errors.PluginBroken(f"{name} must be a plain method: def {name}(self, event).")
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        raise errors.PluginBroken(f"{name} would never run: a hook is neither 'async' nor a generator.")
    parameters = list(inspect.signature(method).parameters.values())[1:]
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    if [each.name for each in parameters] != ["event"] or parameters[0].kind not in plain:
        raise errors.PluginBroken(f"{name} must take one argument, event: def {name}(self, event).")


class Registry(pluggy.PluginManager):
    """pluggy's, for which a listener's methods need no marker: their names say which hook they are."""

    def __init__(self) -> None:
        super().__init__("tenter")
        self.add_hookspecs(HookSpecs)

    def parse_hookspec_opts(self, module_or_class: object, name: str) -> Any:
        """Return pluggy's options for an attribute of the specification, None if it is no hook."""
        return {} if name in HOOKS else None

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Return pluggy's options for an attribute of a listener, None if it is no hook."""
        return {} if name in HOOKS and inspect.ismethod(getattr(plugin, name)) else None

    def implementations(self, hook: str) -> Iterator[tuple[str, Callable[..., object]]]:
        """Return name and method of every listener that has the hook, in the order in which they were registered."""
        for found in getattr(self.hook, hook).get_hookimpls():
            yield found.plugin_name, found.function


@functools.cache
def origin_of(kind: str, name: str) -> str:
    """Return, for a message, which distribution a plugin is from."""
    try:
        return f"from {find(kind, name).origin}"
    except Exception:  # also metadata that is damaged: this is for messages about something else
        return "from a distribution that is not installed any more"


def open_dispatcher(conf: cfg.ConfigOpts, state_dir: Path) -> Emitter:
    """Return what tells the enabled listeners, then the enabled notifiers, of events.

    One that is broken is left out with one line in the log; if none is left, nobody is told.
    """
    registry, listeners = Registry(), {}
    taken: dict[int, Listener] = {}

    def add(kind: str, name: str, implements: object, close: Callable[[], None]) -> None:
        key, listener = f"{kind} {name}", Listener(kind, name, lambda: origin_of(kind, name), close)
        if other := taken.get(id(implements)):
            LOG.error("The %s is left out: it is the same object as the %s; enable one of them.", listener, other)
            return
        try:
            registry.register(implements, key)
        except BaseException as exc:  # of its attributes
            LOG.error("The %s is left out: %s: %s", listener, type(exc).__name__, words_of(exc))
            return
        listeners[key] = taken[id(implements)] = listener

    for name, listener in load_all("hook", enabled("hook", conf), HookListener, conf, state_dir):
        add("hook", name, listener, listener.close)
    notifications = Notifications()
    wanted = enabled("notifier", conf)
    for name, notifier in load_all("notifier", wanted, Notifier, conf, state_dir):
        add("notifier", name, Forwarder(notifier, notifications), notifier.close)
    if not listeners:
        return Emitter(conf.host)
    table = {
        event: [Call(listeners[key], hook, method) for key, method in registry.implementations(hook)]
        for hook, event in HOOKS.items()
    }
    heard = {event: calls for event, calls in table.items() if calls}
    return Dispatcher(conf.host, list(listeners.values()), heard, conf.hooks.budget, conf.hooks.queue_size)
