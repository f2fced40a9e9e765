"""``tenter cell``: which cells there are."""

from __future__ import annotations

import argparse
from pathlib import Path

import sqlalchemy as sa
from oslo_config import cfg
from rich.console import Console
from rich.table import Column, Table

from tenter import errors
from tenter.bus import PollingBus
from tenter.cli import config, state
from tenter.operations.fabric import (
    add_cell,
    cell_url,
    open_api_database,
    open_fabric,
    require_api_database,
    shared_dir,
)
from tenter.store import cell_schema, presence
from tenter.store import cells as rows


def run(args: argparse.Namespace) -> int:
    """Add, list, disable or enable; return the exit code."""
    conf = config.read(args)
    conf.set_override("state_dir", str(Path(conf.state_dir).absolute()))
    if args.part == "add":
        return _add(conf, args.name, args.database)
    require_api_database(conf)
    if args.part == "list":
        return _list(conf)
    api_db = open_api_database(conf)
    try:
        rows.set_disabled(api_db, args.name, args.part == "disable")
    finally:
        api_db.close()
    print(f"Cell {args.name} takes {'no ' if args.part == 'disable' else ''}new servers from now on.")
    return 0


def _add(conf: cfg.ConfigOpts, name: str, url: str | None) -> int:
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or len(name) > 255:
        raise errors.Invalid(f"{name!r} cannot name a cell: letters, digits, '-', '_' and '.', at most 255.")
    _check(url)
    state.prepare(shared_dir(conf))
    api_db = open_api_database(conf)
    try:
        if any(row.name == name for row in rows.list_cells(api_db)):
            raise errors.Conflict(f"There is a cell called {name!r} already.")
        # Written down, so that every process finds it, wherever its own state is.
        given = cell_url(conf, name, url)
        if any(_same(given, row.database_url) for row in rows.list_cells(api_db)):
            raise errors.Conflict("Another cell has that database.")
        add_cell(conf, api_db, name, given).db.close()
    finally:
        api_db.close()
    print(f"Cell {name} is there; 'tenter compute --cell {name}' adds hosts to it.")
    return 0


def _check(url: str | None) -> None:
    if url is None:
        return
    try:
        sa.make_url(url).get_dialect()
    except (sa.exc.SQLAlchemyError, ImportError, ValueError) as exc:
        raise errors.Invalid(
            f"--database takes an SQLAlchemy URL of an installed database driver: {type(exc).__name__}."
        ) from exc


def _same(url: str, other: str | None) -> bool:
    return other is not None and sa.make_url(url) == sa.make_url(other)


def _list(conf: cfg.ConfigOpts) -> int:
    fabric = open_fabric(conf, PollingBus(), embedded=False)
    urls = {row.uuid: row.database_url for row in rows.list_cells(fabric.api_db)}
    table = Table(*(Column(head, overflow="fold") for head in ("name", "new servers", "hosts", "servers", "database")))
    for cell in fabric.cells.all():
        hosts = servers = "?"
        try:
            found = presence.alive(cell.db, cell_schema.services, conf.compute.service_down_time)
            hosts = f"{sum(up for _, _, _, up, _ in found)} of {len(found)} up"
            with cell.db.read() as connection:
                count = sa.select(sa.func.count()).select_from(cell_schema.instances)
                servers = str(connection.execute(count).scalar())
        except errors.Unavailable as exc:
            hosts = str(exc)
        url = sa.make_url(cell_url(conf, cell.name, urls[cell.uuid])).render_as_string(hide_password=True)
        table.add_row(cell.name, "no" if cell.disabled else "yes", hosts, servers, url)
    Console().print(table)
    fabric.close()
    return 0
