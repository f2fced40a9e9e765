"""``tenter plugin``: what is installed, what is enabled, what is broken and what to do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from oslo_config import cfg
from rich.console import Console
from rich.table import Column, Table

from tenter import errors
from tenter.cli import config
from tenter.conf import opts
from tenter.plugins import report
from tenter.plugins.kinds import KINDS
from tenter.plugins.loading import near_words
from tenter.plugins.report import Report
from tenter.store.engine import usable_url

HEADS = ("kind", "name", "distribution", "contract", "state", "what is wrong")
SHARED = ("identity", "image", "network", "volume")
"""Kinds whose drivers' state all processes of a machine share."""


def run(args: argparse.Namespace) -> int:
    """List, show or check; return the exit code. Raises Invalid for a configuration that cannot be read."""
    if args.part == "check":
        return _check(config.read(args, check=False))
    conf = config.read(args)
    if args.part == "show":
        return _show(conf, args.kind, args.name)
    return _list(conf, args.kind, args.json)


def _list(conf: cfg.ConfigOpts, kind: str | None, as_json: bool) -> int:
    found = report.reports(conf, [_kind(kind)] if kind else tuple(KINDS))
    if as_json:
        rows = [{name: value for name, value in vars(each).items() if name != "cls"} for each in found]
        print(json.dumps(rows, indent=1))
        return 0
    _print_table([_row(each) for each in found])
    for sentence in report.strange_groups():
        print(sentence, file=sys.stderr)
    return 0


def _kind(name: str) -> str:
    if name not in KINDS:
        near = near_words(name, KINDS)
        raise errors.Invalid(f"There is no kind of plugins called {name!r}. " + (
            f"Did you mean {near}?" if near else f"There are: {', '.join(KINDS)}."))  # fmt: skip
    return name


def _row(each: Report) -> tuple[str, ...]:
    state = f"{each.state} (enabled)" if each.state == report.BROKEN and each.wanted else each.state
    return each.kind, each.name, f"{each.distribution} {each.version}".strip(), each.contract, state, each.reason


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table on a terminal; elsewhere a line for each row, so that other programs can take it apart."""
    console = Console()
    if console.is_terminal:
        table = Table(*(Column(head, overflow="fold") for head in HEADS))
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(HEADS, *rows)]
    for row in (HEADS, *rows):
        print("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip())


def _show(conf: cfg.ConfigOpts, kind: str | None, name: str) -> int:
    found = [each for each in report.reports(conf, [_kind(kind)] if kind else tuple(KINDS)) if each.name == name]
    kinds = list(dict.fromkeys(each.kind for each in found))
    if not found:
        near = near_words(name, {entry for each in ([kind] if kind else KINDS) for entry in _names(each)})
        hint = f" Did you mean {near}?" if near else " 'tenter plugin list' shows all."
        raise errors.NotFound(f"No {kind + ' ' if kind else ''}plugin is called {name!r}.{hint}")
    if len(kinds) > 1:
        raise errors.Invalid(
            f"There are plugins called {name!r} of several kinds: {', '.join(kinds)}. Say which: "
            f"tenter plugin show {kinds[0]} {name}"
        )
    for each in found:
        _print_one(each, conf)
    return 0


def _names(kind: str) -> list[str]:
    from tenter.plugins import names

    return names(kind)


def _print_one(each: Report, conf: cfg.ConfigOpts) -> None:
    print(f"{each.kind} plugin {each.name}")
    state = f"{each.state}: {each.reason}" if each.reason else each.state
    ours = KINDS[each.kind].base().contract
    facts = {
        "distribution": f"{each.distribution} {each.version}".strip(),
        "class": f"{each.cls.__module__}:{each.cls.__qualname__}" if each.cls else "",
        "contract": f"{each.contract}, this is {ours}" if each.contract else "",
        "state": state,
        "powers": ", ".join(report.powers(each.cls)) if each.cls else "",
        "hooks": ", ".join(report.hooks(each)),
    }
    for name, text in facts.items():
        if text:
            print(f"  {name + ':':<14}{text}")
    if each.cls is not None:
        _print_capabilities(each, conf)
        _print_settings(each, conf)


def _print_capabilities(each: Report, conf: cfg.ConfigOpts) -> None:
    try:
        found = report.capabilities(each, conf, _state_dirs(conf).get(each.kind, Path(conf.state_dir)))
    except errors.TenterError as exc:
        print(f"  capabilities: cannot be told. {exc}")
        return
    for number, (name, capability) in enumerate(sorted(found.items())):
        if number == 0:
            print("  capabilities:")
        print(f"    {name:<24}{'on' if capability.on else 'off: ' + capability.reason}")


def _print_settings(each: Report, conf: cfg.ConfigOpts) -> None:
    try:
        found = report.settings(each, conf)
    except errors.TenterError as exc:
        print(f"  options: {exc}")
        return
    for number, setting in enumerate(found):
        if number == 0:
            print(f"  options in [{setting.section}]:")
        print(f"    {setting.name} = {setting.value}  ({setting.type}, default {setting.default})")
        print(f"        {setting.help}")


def _state_dirs(conf: cfg.ConfigOpts) -> Mapping[str, Path]:
    """Return where plugins have their state, by kind."""
    from tenter.operations.fabric import shared_dir

    shared = shared_dir(conf)
    return {"DEFAULT": Path(conf.state_dir).absolute(), **dict.fromkeys(SHARED, shared)}


def _check(conf: cfg.ConfigOpts) -> int:
    for sentence in (*config.unknown(conf), *report.strange_groups()):
        print(f"warning: {sentence}", file=sys.stderr)
    found = [*opts.problems(conf)]
    for url in filter(None, (conf.database.api_connection, conf.database.cell_connection)):
        try:
            usable_url(url)
        except errors.Invalid as exc:
            found.append(str(exc))
    if not found:  # what cannot be read cannot be asked for
        found = report.problems(conf, _state_dirs(conf))
    for sentence in dict.fromkeys(found):
        print(sentence)
    if not found:
        print("What is configured can start.")
    return 1 if found else 0
