"""The scheduler that the configuration describes."""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg

from tenter.cells import Cells
from tenter.contracts.filter import Filter
from tenter.contracts.weigher import Weigher
from tenter.plugins import enabled, load_all
from tenter.scheduler.current import CurrentHosts
from tenter.scheduler.needs import needs_of
from tenter.scheduler.pipeline import Scheduler
from tenter.scheduler.record import Recorder
from tenter.store.engine import Database


def load_scheduler(
    conf: cfg.ConfigOpts, cells: Cells, api_db: Database, state_dir: Path, records: bool = True
) -> Scheduler:
    """Return a scheduler of all cells with the filters and weighers that the configuration names.

    ``records``: what it decides may be recorded; else it is asked for answers only.
    """
    filters = load_all("filter", enabled("filter", conf), Filter, conf, state_dir)
    weighers = load_all("weigher", enabled("weigher", conf), Weigher, conf, state_dir)
    hosts = CurrentHosts(cells, api_db, lambda: float(conf.compute.service_down_time), needs_of(filters, weighers))
    return Scheduler(conf, cells, hosts, filters, weighers, recorder=Recorder(conf, api_db) if records else None)
