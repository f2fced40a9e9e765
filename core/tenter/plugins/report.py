"""What an operator should know of every plugin, without anything being started."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oslo_config import cfg

from tenter import errors
from tenter.contracts.base import Capability, Plugin, PluginSetup
from tenter.plugins import discovery
from tenter.plugins.discovery import Entry
from tenter.plugins.kinds import GROUPS, KINDS, enabled
from tenter.plugins.loading import (
    broken,
    check_class,
    close,
    configure,
    conflict,
    construct,
    declared,
    described,
    find,
    import_plugin,
    lacking,
    missing,
    starting,
)

ENABLED, AVAILABLE, BROKEN, MISSING = "enabled", "available", "broken", "missing"
NO_PLUGINS = {"tenter.servers"}
"""Groups of ours that hold no plugins."""


@dataclass(frozen=True)
class Report:
    """One plugin. ``state`` is ``enabled``, ``available``, ``broken``, or ``missing``: the configuration names what
    nobody installed. ``reason`` says of the last two what is wrong and what to do; ``wanted`` whether the
    configuration names the plugin, whatever its state."""

    kind: str
    name: str
    distribution: str
    version: str
    contract: str
    state: str
    wanted: bool
    reason: str = ""
    cls: type[Plugin] | None = field(default=None, repr=False)


def reports(conf: cfg.ConfigOpts, kinds: Collection[str] = tuple(KINDS)) -> list[Report]:
    """Return a report on every installed plugin of these kinds, and on what is enabled but not installed.

    Each plugin is imported, whatever comes of it; what it prints meanwhile goes to standard error.
    """
    found: list[Report] = []
    for kind in kinds:
        wanted = enabled(kind, conf)
        by_name: dict[str, list[Entry]] = {}
        for entry in discovery.installed(GROUPS[kind]):
            by_name.setdefault(entry.name, []).append(entry)
        for name in sorted(by_name):
            entries = by_name[name]
            reason = conflict(entries) if len(entries) > 1 else ""
            found += [_examined(kind, entry, reason, name in wanted) for entry in entries]
        for name in wanted:
            if name not in by_name:
                found.append(Report(kind, name, "", "", "", MISSING, True, missing(kind, name)))
    return found


def problems(conf: cfg.ConfigOpts, state_dirs: Mapping[str, Path]) -> list[str]:
    """Return a sentence for each enabled plugin that cannot start, tried by constructing it.

    ``state_dirs`` by kind, as for ``capabilities``; DEFAULT for those that have none of their own.
    """
    found = []
    for kind in KINDS.values():
        wanted = enabled(kind.name, conf)
        if not wanted and kind.driver and not kind.optional:
            found.append(f"No {kind.name} driver is chosen: {kind.where} is empty.")
        for name in wanted:
            try:
                report = _examined(kind.name, find(kind.name, name), "", True)
                capabilities(report, conf, state_dirs.get(kind.name, state_dirs["DEFAULT"]))
            except errors.TenterError as exc:
                found.append(str(exc))
    return found


def strange_groups() -> list[str]:
    """Return a sentence for each entry point group that looks like ours, but is none: nobody reads it."""
    known = {*GROUPS.values(), *NO_PLUGINS}
    found = []
    for group in sorted(discovery.groups() - known):
        alike = [each for each in sorted(known) if each.endswith("." + group.rpartition(".")[2])]
        near = alike or difflib.get_close_matches(group, known, 1)
        hint = f"; did its author mean {near[0]}?" if near else "."
        by = ", ".join(sorted({entry.origin for entry in discovery.installed(group)}))
        found.append(f"The entry point group {group} of {by} is no group of plugins{hint}")
    return found


def _examined(kind: str, entry: Entry, reason: str, wanted: bool) -> Report:
    contract, cls = "", None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            loaded = import_plugin(kind, entry)
        base = KINDS[kind].base()
        with contextlib.suppress(BaseException):  # what is wrong with it is said below
            contract = (declared(loaded, base) or "") if isinstance(loaded, type) else ""
        if reason:
            raise broken(kind, entry, reason)
        cls = check_class(kind, entry, loaded, base)
        if needs := lacking(kind, entry):
            raise broken(kind, entry, needs)
    except errors.PluginBroken as exc:
        reason = reason or str(exc.details.get("reason", exc))
    state = BROKEN if reason else ENABLED if wanted else AVAILABLE
    return Report(kind, entry.name, entry.distribution, entry.version, contract, state, wanted, reason, cls)


@dataclass(frozen=True)
class Setting:
    """One option of a plugin, and its value; that of a secret one is masked."""

    section: str
    name: str
    type: str
    default: str
    value: str
    help: str


def settings(report: Report, conf: cfg.ConfigOpts) -> list[Setting]:
    """Return a plugin's options. Raises PluginBroken, Invalid for a value that is not allowed."""
    if report.cls is None:
        return []
    configure(report.kind, report.name, report.cls, conf)
    return [_setting(option, report.cls.section, conf) for option in report.cls.options]


def _setting(option: cfg.Opt, section: str, conf: cfg.ConfigOpts) -> Setting:
    def shown(value: object) -> str:
        if value is None:
            return "none"
        return "(secret)" if option.secret else str(value)

    default = option.sample_default if option.sample_default is not None else option.default
    kind = type(option.type).__name__.lower()
    return Setting(section, option.name, kind, shown(default), shown(conf[section][option.dest]),
                   " ".join(str(option.help or "").split()))  # fmt: skip


def powers(cls: type[Plugin]) -> list[str]:
    """Return the names of the optional powers (``Supports…``) that a plugin's class has."""
    return [each.__name__ for each in cls.__mro__ if each.__name__.startswith("Supports")]


def hooks(report: Report) -> list[str]:
    """Return the hooks that a plugin listens to; empty for one of a kind that listens to none."""
    found = KINDS[report.kind].checked(report.cls) if report.cls is not None else None
    return [str(name) for name in found] if isinstance(found, Sequence) else []


def capabilities(report: Report, conf: cfg.ConfigOpts, state_dir: Path) -> Mapping[str, Capability]:
    """Construct the plugin, and return what it says of itself; empty for one that says nothing.

    Nothing on the host is changed: ``init_host`` is not called, and a plugin that has no directory below ``state_dir``
    yet gets one that goes away again. Raises PluginBroken, or what ``loading.load`` raises.
    """
    kind, name = report.kind, report.name
    if report.cls is None or report.reason:
        raise broken(kind, find(kind, name), report.reason)
    configure(kind, name, report.cls, conf)
    with contextlib.redirect_stdout(sys.stderr), _directory(state_dir / kind / name) as own:
        plugin = construct(kind, name, report.cls, PluginSetup(conf=conf, state_dir=own, host=conf.host))
        try:
            with starting(kind, name):
                return described(plugin).capabilities if hasattr(plugin, "describe") else {}
        finally:
            close(kind, name, plugin)


@contextlib.contextmanager
def _directory(own: Path) -> Iterator[Path]:
    if os.path.isdir(own):
        yield own
    else:
        with tempfile.TemporaryDirectory(prefix="tenter-plugin-") as directory:
            yield Path(directory)
