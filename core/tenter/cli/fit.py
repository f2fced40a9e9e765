"""``tenter fit``: would a server fit, and if not, what would? Read from the databases (the cloud need not be up)."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tenter import errors
from tenter.bus import PollingBus
from tenter.cli import config
from tenter.operations.fabric import Fabric, open_fabric, require_api_database
from tenter.operations.fitting import Fitting, as_json
from tenter.scheduler.reasons import in_words
from tenter.store import flavors
from tenter.store.engine import Database

FITS, FITS_NOT = 0, 2


def run(args: argparse.Namespace) -> int:
    """Print how many fit, why no more, and what would; return 0 if as many fit as are wanted, else 2.

    Raises NotFound if there is no such flavor or host, Invalid for what is malformed.
    """
    conf = config.read(args)
    require_api_database(conf)
    with closing(open_fabric(conf, PollingBus(), embedded=False)) as fabric:
        answer = _ask(fabric, args)
    if args.json:
        print(json.dumps(answer, indent=2))
    else:
        _print(Console(), answer)
    return FITS if answer["fits"] >= answer["wanted"] else FITS_NOT


def _ask(fabric: Fabric, args: argparse.Namespace) -> dict[str, Any]:
    flavor = _flavor(fabric.api_db, args.flavor).to_mapping()
    found = Fitting(fabric).ask(
        flavor, args.project or "", args.count, properties=_pairs(args.property), zone=args.zone,
        hints=_pairs(args.hint), spec={"forced_host": args.on_host},
    )  # fmt: skip
    reasons = found.last.counts()
    if (
        args.on_host
        and not found.last.scope.away
        and [(one["code"], one["hosts"]) for one in reasons] == [("host.other", found.last.seen)]
    ):
        raise errors.NotFound(f"There is no host {args.on_host!r}: 'tenter status' shows them.")
    return as_json(found, hosts=True)


def _flavor(db: Database, wanted: str) -> Any:
    try:
        return flavors.get_flavor(db, wanted)
    except errors.NotFound:
        found = [one for one in flavors.list_flavors(db) if one["name"] == wanted]
    if not found:
        raise errors.NotFound(f"There is no flavor {wanted!r}: 'openstack flavor list --all' shows them.")
    return flavors.get_flavor(db, found[0]["flavorid"])


def _pairs(given: list[str]) -> dict[str, str]:
    found = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise errors.Invalid(f"{pair!r} is not of the form KEY=VALUE.")
        found[key] = value
    return found


def _print(console: Console, answer: dict[str, Any]) -> None:
    fits, wanted = answer["fits"], answer["wanted"]
    many = f"At least {fits}" if answer["at_least"] else str(fits)
    console.print(f"{many} would fit now." if fits else "None would fit now.", highlight=False)
    if answer["cells_away"]:
        console.print(f"{answer['cells_away']} cells are away and were not asked.", highlight=False)
    if answer["reasons"]:
        console.print("Why no more:" if fits else "Why:")
    for reason in answer["reasons"]:
        console.print(f"  {escape(in_words(reason, answer['hosts_looked_at']))}", highlight=False, soft_wrap=True)
    if answer["changes"]:
        console.print(f"What would make {'it' if wanted == 1 else wanted} fit, the nearest first:", highlight=False)
        for change in answer["changes"]:
            console.print(f"  {escape(change['sentence'])}", highlight=False)
    elif fits < wanted:
        console.print("No single change makes it fit.", highlight=False)
    if answer["hosts"]:
        table = Table("host", "servers")
        for host in answer["hosts"]:
            table.add_row(escape(host["host"]), str(host["servers"]))
        console.print(table)
