"""``tenter replay``: what a recorded decision would be with other filters, weighers and options."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from tenter import errors
from tenter.cli import config
from tenter.cli.explain import opened, server_uuid
from tenter.conf.files import files_to_read
from tenter.contracts.filter import Filter
from tenter.contracts.weigher import Weigher
from tenter.operations.fabric import Fabric
from tenter.plugins import enabled, load
from tenter.scheduler import recorded
from tenter.scheduler.recorded import Recorded
from tenter.scheduler.replay import Replayed, replay

SHOWN = 20


def run(args: argparse.Namespace) -> int:
    """Print what changes, and return 0.

    Raises NotFound, Conflict for a record that cannot be used, Invalid for a configuration.
    """
    conf = _configuration(args)
    with opened(args) as fabric:
        decision = _decision(fabric, args.operation)
        filters = _plugins("filter", Filter, conf, fabric)
        weighers = _plugins("weigher", Weigher, conf, fabric)
        found = replay(decision, filters, weighers, conf)
    if args.json:
        print(json.dumps({"operation": decision.operation_uuid, **found.to_json()}, indent=2))
    else:
        _print(Console(), decision, found)
    return 0


def _configuration(args: argparse.Namespace) -> cfg.ConfigOpts:
    """Return the service's configuration with the files of --with-config read after it."""
    more = args.with_config or []
    try:
        files = [*files_to_read(args.config_file, args.config_dir), *more]
    except cfg.Error as exc:
        raise errors.Invalid(f"The configuration cannot be used: {exc}") from exc
    return config.read(argparse.Namespace(**{**vars(args), "config_file": files, "config_dir": None}))


def _plugins(kind: str, base: Any, conf: cfg.ConfigOpts, fabric: Fabric) -> list[tuple[str, Any]]:
    return [(name, load(kind, name, base, conf, fabric.state_dir, conf.host)) for name in enabled(kind, conf)]


def _decision(fabric: Fabric, wanted: str) -> Recorded:
    found = recorded.of_operation(fabric.api_db, wanted.lower())
    if not found:
        found = recorded.of_instance(fabric.api_db, server_uuid(fabric, wanted))
    if not found:
        raise errors.NotFound(f"No decision is kept for an operation or a server {wanted}.")
    return found[-1]


def _print(console: Console, decision: Recorded, found: Replayed) -> None:
    def say(words: str) -> None:
        console.print(words, soft_wrap=True, highlight=False, markup=False)

    say(f"Operation {decision.operation_uuid}, server {decision.instance_uuid}:")
    _table(
        console, ("filter", "in then", "out then", "in now", "out now"),
        [(name, *_pair(then), *_pair(now)) for name, (then, now) in found.stages.items()],
    )  # fmt: skip
    then = found.chosen or "none"
    now = f"one of {len(found.best)} that are equally good, such as {found.best[0]}" if len(found.best) > 1 else (
        found.best[0] if found.best else "none")  # fmt: skip
    if found.chosen in found.best:
        now = then if len(found.best) == 1 else f"{then}, or another of the {len(found.best)} that are equally good"
    say(f"Chosen then: {then}; now: {now}.")
    _table(
        console, ("host", "then", "now"),
        [(one.host, one.then, one.now) for one in found.changed[:SHOWN]],
    )  # fmt: skip
    if len(found.changed) > SHOWN:
        say(f"and {len(found.changed) - SHOWN} more hosts; --json shows all.")
    for name, trouble in found.troubles.items():
        say(f"{name} misbehaved: {trouble}")
    judged = f"hosts that are judged otherwise: {len(found.changed)}" if found.changed else "another host is chosen"
    say("The same." if found.same else f"It changes; {judged}.")


def _pair(found: tuple[int, int] | None) -> tuple[str, str]:
    return ("", "") if found is None else (str(found[0]), str(found[1]))


def _table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        table = Table(*(Column(head, overflow="fold") for head in heads))
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
