"""``tenter explain``: why a server is where it is, or nowhere, read from the databases (the cloud need not be up)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from tenter import errors
from tenter.bus import PollingBus
from tenter.cells.query import Equals, ServerQuery
from tenter.cells.reading import ServerReader
from tenter.cli import config
from tenter.operations.fabric import Fabric, open_fabric, require_api_database
from tenter.scheduler import explain, recorded
from tenter.scheduler.reasons import in_words
from tenter.store.columns import iso
from tenter.store.instances import usual_uuid

SHOWN = 20
"""How many refused hosts a table shows."""


def run(args: argparse.Namespace) -> int:
    """Print the decisions for a server, the latest last, and return 0.

    Raises NotFound if there is no such server, Conflict if several have that name.
    """
    with opened(args) as fabric:
        uuid = server_uuid(fabric, args.server)
        limit = None if args.json else SHOWN
        found = recorded.of_instance(fabric.api_db, uuid)
        shown = [explain.for_administrators(one, iso, limit, args.host) for one in found]
    if args.json:
        print(json.dumps(shown, indent=2))
        return 0
    console = Console()
    for decision in shown:
        _print(console, decision, args.host)
    _say(console, _next(shown, uuid, fabric.conf.scheduler.decision_retention))
    return 0


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Fabric]:
    """Open the databases that a command's arguments name. Raises NotFound if there are none."""
    conf = config.read(args)
    require_api_database(conf)
    with closing(open_fabric(conf, PollingBus(), embedded=False)) as fabric:
        yield fabric


def server_uuid(fabric: Fabric, wanted: str) -> str:
    """Return the UUID of a server of that id or name; the UUID of one that is gone is taken as it is.

    Raises NotFound, Conflict if several have the name.
    """
    uuid = usual_uuid(wanted)
    if uuid is not None:
        return uuid
    query = ServerQuery(("uuid",), 3, conditions=[Equals("display_name", [wanted])])
    found = [row["uuid"] for row in ServerReader(fabric.api_db, fabric.cells).list(query)]
    if not found:
        raise errors.NotFound(f"There is no server called {wanted!r}; of one that is gone, give its id.")
    if len(found) > 1:
        raise errors.Conflict(f"Several servers are called {wanted!r}, such as {' and '.join(found[:2])}: give an id.")
    return str(found[0])


def _say(console: Console, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        console.print(sentence, soft_wrap=True, highlight=False, markup=False)


def _print(console: Console, decision: Mapping[str, Any], host: str | None) -> None:
    head = f"{decision['made_at']}, operation {decision['operation']}: "
    if "error" in decision:
        _say(console, [head + decision["error"]])
        return
    chosen = decision["chosen"]
    verdict = f"placed on {chosen['host']}" if chosen else "not placed"
    _say(console, [f"{head}{verdict}; hosts looked at: {decision['hosts']}, passed: {decision['hosts_left']}."])
    if decision["host_table"] != "whole":
        _say(console, [f"The host table is {decision['host_table']}."])
    filters = [(one["name"], str(one["hosts_in"]), str(one["hosts_out"])) for one in decision["filters"]]
    _table(console, ("filter", "hosts in", "hosts out"), filters)
    _say(console, ["  " + in_words(reason, decision["hosts"]) for reason in decision["reasons"]])
    _table(
        console, ("refused host", "filter", "code", "figures"),
        [(one["host"], one["filter"], one["code"], _figures(one["figures"])) for one in decision["refused"]],
    )  # fmt: skip
    if host is not None and decision["host"] != "refused":
        _say(console, [f"  {host}: {_BECAME[decision['host']]}"])
    if decision["refused_not_shown"]:
        _say(console, [f"  and {decision['refused_not_shown']} more; --json shows all, --host NAME one."])
    finalists = [one for one in decision["finalists"] if host in (None, one["host"], one["node_uuid"])]
    names = sorted({name for one in finalists for name in one["weights"]})
    _table(
        console, ("best host", "weight", *names),
        [(one["host"], f"{one['weight']:.4g}", *(f"{one['weights'].get(name, 0):.4g}" for name in names))
         for one in finalists],
    )  # fmt: skip
    _table(
        console, ("claim lost on", "code", "figures"),
        [(one["host"], one["code"], _figures(one["figures"])) for one in decision["lost_on"]],
    )  # fmt: skip
    _say(console, [f"  {name} misbehaved: {trouble}" for name, trouble in decision["troubles"].items()])
    if decision["cells_away"]:
        _say(console, [f"  Cells that were away: {', '.join(decision['cells_away'])}."])


def _table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        table = Table(*(Column(head, overflow="fold") for head in heads))
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)


def _figures(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_figure(value)}" for name, value in figures.items())


def _figure(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_figure, value))
    if isinstance(value, Mapping):
        return " ".join(map(str, value.values()))
    return str(value)


def _next(shown: Sequence[Mapping[str, Any]], uuid: str, retention: float) -> list[str]:
    """Return what to do next, in sentences."""
    if not shown:
        return [
            f"No decision for server {uuid} is kept." if retention else
            "No decisions are kept: [scheduler] decision_retention is 0.",
        ]  # fmt: skip
    last = shown[-1]
    if "error" in last or last["placed"]:
        return []
    found = [words for reason in last["reasons"] for suffix, words in _REMEDIES if reason["code"].endswith(suffix)]
    if last["cells_away"]:
        found.append("Bring back the cells that are away: tenter cell list")
    if last["troubles"]:
        found.append("Mend what misbehaved: tenter plugin check; the log says more")
    found.append(
        f"Try other filters, weighers or options on what was recorded: tenter replay {uuid} --with-config FILE"
    )
    return ["Next:", *(f"  {words}" for words in dict.fromkeys(found))]


_BECAME = {
    "passed": "it passed all filters; if it is not shown below, others were weighed more.",
    "not looked at": "it was not looked at, for its cell was away, disabled, or not the server's.",
    "unknown": "there was no host of that name.",
}

_REMEDIES = (
    (".short", "A smaller flavor, or hosts with more free: tenter status"),
    ("host.down", "See which computes give no sign of life: tenter status"),
    ("host.disabled", "Enable hosts again: openstack compute service set --enable HOST nova-compute"),
    ("zone.other", "Ask for another zone, or for none: openstack availability zone list"),
)
