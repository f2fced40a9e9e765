"""Hosts, requests, and asking a filter, for the tests of filters."""

from __future__ import annotations

import json
import uuid as uuidlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from oslo_config import cfg

from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import Filter, HostFilter, MaskFilter
from tenter.contracts.scheduling import Aggregate, HostView, PlacementRequest, Resource
from tenter.contracts.table import Coded, HostTable
from tenter.scheduler.table import table_of

Refused = dict[str, tuple[str, dict[str, Any]]]


def host(name: str = "h1", **values: Any) -> HostView:
    """Return a host with 8 vCPUs, 1000 MiB, 100 GiB."""
    base: dict[str, Any] = {
        "provider_uuid": str(uuidlib.uuid5(uuidlib.NAMESPACE_DNS, name)), "host": name, "node": name, "zone": "nova",
        "enabled": True, "up": True,
        "resources": {"VCPU": Resource(8, 0), "MEMORY_MB": Resource(1000, 0), "DISK_GB": Resource(100, 0)},
    }  # fmt: skip
    return HostView(**{**base, **values})


def in_aggregates(name: str, *metadata: dict[str, str], **values: Any) -> HostView:
    """Return a host that is in an aggregate for each mapping of metadata."""
    return host(name, aggregates=tuple(Aggregate(n, f"a{n}", each) for n, each in enumerate(metadata)), **values)


def ask(**values: Any) -> PlacementRequest:
    """Return a request of one vCPU."""
    base: dict[str, Any] = {"instance_uuid": "i", "project_id": "p1", "resources": {"VCPU": 1}}
    return PlacementRequest(**{**base, **values})


def make(cls: type[Any], tmp_path: Path, **options: Any) -> Any:
    """Return a filter with some options set."""
    conf = cfg.ConfigOpts()
    if cls.section:
        conf.register_opts(list(cls.options), group=cls.section)
    conf([], default_config_files=[])
    for name, value in options.items():
        conf.set_override(name, value, group=cls.section)
    return cls(PluginSetup(conf, tmp_path))


def refused(of: Filter, views: Sequence[HostView], request: PlacementRequest) -> Refused:
    """Return code and figures for each host that is refused. A mask says the same of each host alone."""
    if isinstance(of, HostFilter):
        verdicts = {view.host: of.accepts(view, request) for view in views}
        return _plain({name: (each.code, dict(each.figures)) for name, each in verdicts.items() if not each.ok})
    assert isinstance(of, MaskFilter)
    together = _masked(of, table_of(views), request)
    alone = [_masked(of, table_of([view]), request) for view in views]
    assert {name: code for each in alone for name, (code, _) in each.items()} == {
        name: code for name, (code, _) in together.items()
    }
    return together


def _masked(of: MaskFilter, table: HostTable, request: PlacementRequest) -> Refused:
    found: Refused = {}
    for condition in of.mask(table, request).conditions:
        assert condition.ok.dtype == np.bool_ and condition.ok.shape == (len(table),)
        for row in np.flatnonzero(~condition.ok).tolist():
            figures = {key: _at(value, row) for key, value in condition.figures.items()}
            found.setdefault(table.host[row], (condition.code, figures))
    return _plain(found)


def _at(value: object, row: int) -> object:
    if isinstance(value, np.ndarray):
        return value[row].item()
    return value[row] if isinstance(value, Coded) else value


def _plain(found: Refused) -> Refused:
    json.dumps(found, allow_nan=False)
    return found


def codes(of: Filter, views: Sequence[HostView], request: PlacementRequest) -> dict[str, str]:
    """Return the code for each host that is refused."""
    return {name: code for name, (code, _) in refused(of, views, request).items()}
