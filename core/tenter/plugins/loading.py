"""From a name in the configuration to a plugin that runs, or to one sentence that says why not and what to do."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from oslo_config import cfg

from tenter import errors
from tenter.conf import check_values
from tenter.conf.opts import SECTIONS
from tenter.contracts.base import Capability, Description, Plugin, PluginSetup
from tenter.plugins import discovery
from tenter.plugins.discovery import Entry
from tenter.plugins.guard import guarded, said, shown
from tenter.plugins.kinds import GROUPS, KINDS

LOG = logging.getLogger(__name__)
P = TypeVar("P", bound=Plugin)
Serve = Callable[[cfg.ConfigOpts, socket.socket, Callable[[], object], int], None]


def names(kind: str) -> list[str]:
    """Return the names of the installed plugins of one kind, without importing them."""
    return sorted({entry.name for entry in discovery.installed(GROUPS[kind])})


def check_installed(kind: str, name: str) -> None:
    """Raise PluginBroken, naming what is near, unless exactly one plugin of that kind is installed under ``name``."""
    find(kind, name)


def find(kind: str, name: str) -> Entry:
    """Return the entry point of a plugin, without importing it. Raises PluginBroken if there is none, or two."""
    found = [entry for entry in discovery.installed(GROUPS[kind]) if entry.name == name]
    if not found:
        raise errors.PluginBroken(missing(kind, name))
    if len(found) > 1:
        raise broken(kind, found[0], conflict(found))
    return found[0]


def missing(kind: str, name: str) -> str:
    """Return what to say of a name that no installed plugin of the kind has."""
    known = names(kind)
    near = near_words(name, known)
    hint = f"Did you mean {near}?" if near else f"Installed: {', '.join(known) or 'none'}."
    return f"No {kind} plugin is called {name!r}. {hint} Install the distribution that brings it, or {_instead(kind)}."


def near_words(word: str, known: Iterable[str]) -> str:
    """Return the known words that are most like ``word``, the nearest first, as ``'a' or 'b'``; empty if none is."""
    by_case = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_case, 3)
    return " or ".join(repr(by_case[each]) for each in found)


def conflict(found: Sequence[Entry]) -> str:
    """Return what is wrong with several entry points of one kind and name."""
    by = [entry.origin for entry in found]
    return f"is there {len(by)} times: {' and '.join(by)} bring one of that name each. Uninstall all but one of them."


def broken(kind: str, entry: Entry, reason: str) -> errors.PluginBroken:
    """Return the error for a plugin that cannot be used. ``reason``: the rest of a sentence, and what to do."""
    both = f"The {kind} plugin {entry.name!r}"
    if not reason.startswith("is there "):
        both += f" of {entry.origin}"
    return errors.PluginBroken(f"{both} {reason}", reason=reason)


def _instead(kind: str) -> str:
    where = KINDS[kind].where
    return f"choose another ({where})" if KINDS[kind].driver else f"take it out of {where}"


def compatible(written_for: str, ours: str) -> bool:
    """Return whether a plugin written for one contract version runs with ours: same major, not a newer minor."""
    try:
        kind, major, minor = _version(written_for)
    except ValueError:
        return False
    our_kind, our_major, our_minor = _version(ours)
    return kind == our_kind and major == our_major and minor <= our_minor


def _version(contract: str) -> tuple[str, int, int]:
    kind, _, number = contract.partition(" ")
    major, _, minor = number.partition(".")
    return kind, int(major), int(minor)


def declared(cls: type, base: type[Plugin]) -> str | None:
    """Return the contract that a plugin's class, or one it inherits below ``base``, says it was written for."""
    for each in cls.__mro__:
        if not issubclass(base, each) and "contract" in vars(each):
            return str(vars(each)["contract"])
    return None


def import_plugin(kind: str, entry: Entry) -> Any:
    """Import what an entry point names and return it, whatever it is. Raises PluginBroken."""

    def failed(exc: BaseException) -> errors.PluginBroken:
        return broken(kind, entry, f"cannot be imported: {said(exc)}. {_remedy(kind, entry, exc)}")

    with guarded(_named(kind, entry), "being imported", failed):
        return entry.load()


def _named(kind: str, entry: Entry) -> str:
    return f"The {kind} plugin {entry.name!r} of {entry.origin}"


def _remedy(kind: str, entry: Entry, exc: BaseException) -> str:
    if needs := lacking(kind, entry):
        return f"It {needs}"
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        top = exc.name.partition(".")[0]
        if top != entry.value.partition(".")[0].partition(":")[0].strip():
            return f"Install the library that brings {top!r}, or {_instead(kind)}."
    return f"Install a release of {entry.distribution} that works, or {_instead(kind)}."


def lacking(kind: str, entry: Entry) -> str:
    """Return the rest of a sentence on distributions that a plugin needs and that are not installed; else nothing."""
    try:
        needs, told = entry.lacking()
    except Exception as exc:  # metadata can be damaged in many ways, and are no reason to leave a plugin out
        LOG.warning("What %s requires cannot be read: %s", entry.origin, said(exc))
        return ""
    if not needs:
        return ""
    return f"needs {' and '.join(needs)}, not installed: pip install {told}, or {_instead(kind)}."


def check_class(kind: str, entry: Entry, loaded: object, base: type[P]) -> type[P]:
    """Return what an entry point named as the plugin's class. Raises PluginBroken: wrong class or version, or one whose
    attributes cannot be read."""
    with guarded(_named(kind, entry), "being examined", lambda exc: _misfit(kind, entry, exc)):
        return _fitting(kind, entry, loaded, base)


def _misfit(kind: str, entry: Entry, exc: BaseException) -> errors.PluginBroken:
    if isinstance(exc, errors.PluginBroken):
        return exc
    return broken(kind, entry, f"has a class that cannot be used: {said(exc)}. {_release(kind, entry)}")


def _fitting(kind: str, entry: Entry, loaded: object, base: type[P]) -> type[P]:
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        what = f"{loaded.__module__}.{loaded.__qualname__}" if isinstance(loaded, type) else shown(loaded)
        raise broken(kind, entry, f"is {what}, which is no {base.__name__}. {_release(kind, entry)}")
    written_for = declared(loaded, base)
    if written_for is None:
        raise broken(
            kind, entry, "does not say which contract it was written for; its class lacks a line such as "
            f'contract = "{base.contract}". {_release(kind, entry)}',
        )  # fmt: skip
    if not compatible(written_for, base.contract):
        why = f"was written for {written_for!r}, this is {base.contract!r}."
        raise broken(kind, entry, f"{why} {_release(kind, entry)}")
    if inspect.isabstract(loaded):
        lacks = ", ".join(sorted(getattr(loaded, "__abstractmethods__", ())))
        raise broken(kind, entry, f"lacks what its contract asks for: {lacks}. {_release(kind, entry)}")
    try:
        KINDS[kind].checked(loaded)
    except errors.PluginBroken as exc:
        raise broken(kind, entry, f"cannot be used: {said(exc)}. {_release(kind, entry)}") from exc
    return loaded


def _release(kind: str, entry: Entry) -> str:
    return f"Install a release of {entry.distribution} that fits, or {_instead(kind)}."


def load_class(kind: str, name: str, base: type[P]) -> type[P]:
    """Return the class of the plugin ``name``.

    Raises PluginBroken with a sentence that says what to do: unknown name, import error, wrong class or version.
    """
    entry = find(kind, name)
    return check_class(kind, entry, import_plugin(kind, entry), base)


def load(kind: str, name: str, base: type[P], conf: cfg.ConfigOpts, state_dir: Path, host: str = "localhost") -> P:
    """Construct the plugin ``name`` with its options registered and a state directory of its own.

    Raises PluginBroken, Invalid if an option of its has a value that is not allowed, or the error of
    :mod:`tenter.errors` that its constructor raises, as which it says what is wrong.
    """
    cls = load_class(kind, name, base)
    configure(kind, name, cls, conf)
    own = state_dir / kind / name
    with starting(kind, name):
        own.mkdir(parents=True, exist_ok=True)
    return construct(kind, name, cls, PluginSetup(conf=conf, state_dir=own, host=host))


def construct(kind: str, name: str, cls: type[P], setup: PluginSetup) -> P:
    """Return a new plugin of a class. Raises as ``load`` does."""
    with starting(kind, name):
        plugin: object = cls(setup)
        if not isinstance(plugin, cls):
            raise TypeError(f"its class makes {shown(plugin)}, which is none of it")
        return plugin


@contextlib.contextmanager
def starting(kind: str, name: str) -> Iterator[None]:
    """Turn what a plugin raises while it is made into PluginBroken, or the same error of ours, in its name."""
    entry = find(kind, name)

    def failed(exc: BaseException) -> errors.TenterError:
        why = f"cannot start: {said(exc)}."
        if isinstance(exc, errors.TenterError) and type(exc).__module__ == errors.__name__:
            again = type(exc)(str(broken(kind, entry, why)))
            again.details = exc.details
            return again
        return broken(kind, entry, f"{why} Mend what it says, or {_instead(kind)}.")

    with guarded(_named(kind, entry), "starting", failed):
        yield


def described(plugin: Any) -> Description:
    """Return what a driver says of itself. Raises what it raises, TypeError if that is no description."""
    found = plugin.describe()
    if not (isinstance(found, Description) and isinstance(found.capabilities, Mapping)):
        raise TypeError(f"describe() returns {shown(found)}, which is no Description of capabilities by name")
    for name, capability in found.capabilities.items():
        fits = isinstance(capability, Capability) and isinstance(capability.reason, str)
        if not (isinstance(name, str) and fits):
            raise TypeError(f"describe() returns {shown(capability)} for {shown(name)}, which is no Capability")
    return found


def close(kind: str, name: str, plugin: Plugin) -> None:
    """Close a plugin; one that cannot be closed is named in the log, and keeps nothing else from being closed."""
    try:
        plugin.close()
    except (Exception, SystemExit) as exc:
        LOG.warning("The %s plugin %r cannot be closed: %s", kind, name, said(exc))


def configure(kind: str, name: str, cls: type[Plugin], conf: cfg.ConfigOpts) -> None:
    """Register a plugin's options. Raises PluginBroken if that cannot be, Invalid for a value that is not allowed."""
    entry = find(kind, name)

    def failed(exc: BaseException) -> errors.PluginBroken:
        if isinstance(exc, errors.PluginBroken):
            return exc
        return broken(kind, entry, f"has options that cannot be used: {said(exc)}. {_release(kind, entry)}")

    with guarded(_named(kind, entry), "registering its options", failed):
        section, options = cls.section, list(cls.options)
        if not (section and options):
            return
        _register(kind, entry, section, options, conf)
    try:
        check_values(conf, section, options)
    except cfg.Error as exc:
        raise errors.Invalid(f"The configuration of {_named(kind, entry)[4:]} cannot be used: {exc}") from exc


_OWNERS: dict[tuple[str, str], str] = {}
"""Which plugin of this process has registered an option, by section and name: for a message only."""


def _register(kind: str, entry: Entry, section: object, options: list[cfg.Opt], conf: cfg.ConfigOpts) -> None:
    if not isinstance(section, str):
        raise TypeError(f"its section is {shown(section)}, and no string")
    if section.lower() in {each.lower() for each in SECTIONS}:
        why = f"has options in section [{section}], which is Tenter's own. {_release(kind, entry)}"
        raise broken(kind, entry, why)
    for option in options:
        try:
            conf.register_opt(option, group=section)
        except cfg.DuplicateOptError as exc:
            other = _OWNERS.get((section, option.dest), "something else in this process")
            why = f"has an option [{section}] {option.name} which {other} has too, but another one."
            raise broken(kind, entry, f"{why} Use a release of one of them that differs, or {_instead(kind)}.") from exc
        _OWNERS.setdefault((section, option.dest), "t" + _named(kind, entry)[1:])


def load_all(
    kind: str, wanted: Sequence[str], base: type[P], conf: cfg.ConfigOpts, state_dir: Path
) -> list[tuple[str, P]]:
    """Construct an ordered set of extensions; one that is broken is left out with an error in the log."""
    found: list[tuple[str, P]] = []
    for name in wanted:
        try:
            found.append((name, load(kind, name, base, conf, state_dir, conf.host)))
        except errors.TenterError as exc:
            LOG.error("The %s %s is left out: %s", kind, name, exc)
    return found


def load_server(name: str) -> Serve:
    """Return the function that serves the API on a listening socket (entry point group ``tenter.servers``).

    It is given the configuration, the socket, a function that starts the fabric in the serving process, and the number
    of such processes. Raises PluginBroken.
    """
    for entry in discovery.installed("tenter.servers"):
        if entry.name == name:
            return cast("Serve", entry.load())
    raise errors.PluginBroken(f"This installation of Tenter has no server {name!r} for the API; install it anew.")
