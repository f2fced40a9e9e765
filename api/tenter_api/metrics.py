"""``GET /metrics``: how the cloud fares, in Prometheus' text format.

The figures of the cloud are read from the databases when they are asked for: what conductors and computes do happens in
other processes, and so every worker of the API answers the same. Counted in this process, and so of this process only,
is what became of hook listeners and notifiers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import falcon

from tenter import errors
from tenter.plugins.emitter import HookFigures
from tenter.store import audits, figures, presence
from tenter_api.auth import require_admin
from tenter_api.databases import API, Asked, Probe
from tenter_api.services import Services

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Rows = Iterable[tuple[Sequence[str], float]]


@dataclass(frozen=True)
class _Figures:
    """What one database says."""

    services: Sequence[tuple[str, str, float, bool, bool]]
    operations: Sequence[figures.OpenOperations]
    nodes: Sequence[figures.Node] = ()
    leftovers: Mapping[str, int] = field(default_factory=dict)
    audit: audits.AuditFigures | None = None


class Metrics:
    """``/metrics``; who may read it is the option ``[api] metrics``."""

    def __init__(self, services: Services) -> None:
        self._conf, self._fabric = services.conf, services.fabric
        self._probe = Probe(services, self._read)

    @property
    def public(self) -> Sequence[str]:
        """The methods that need no token."""
        return () if self._conf.api.metrics == "admin" else ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Ask all databases at once; the figures of those that do not answer are left out."""
        if self._conf.api.metrics == "off":
            raise errors.NotFound("The resource could not be found.")
        if self._conf.api.metrics == "admin":
            require_admin(req)
        # Imported here, for it takes longer than all else at start, and most clouds never need it.
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(_Collected([*_families(*self._probe.all()), *_of_hooks(self._fabric.hooks.figures())]))
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = generate_latest(registry)

    def _read(self, asked: Asked) -> _Figures:
        services = presence.alive(asked.db, asked.services, self._conf.compute.service_down_time)
        operations = figures.open_operations(asked.db, asked.operations)
        if not asked.is_cell:
            return _Figures(services, operations, audit=audits.figures(asked.db))
        return _Figures(services, operations, figures.nodes(asked.db), figures.leftovers_by_host(asked.db))


class _Collected:
    """What a registry asks for metrics."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _families(names: Sequence[str], answers: Mapping[str, _Figures]) -> list[Metric]:
    up = [([name], float(name in answers)) for name in names]
    audit = next((answer.audit for answer in answers.values() if answer.audit is not None), None)
    return [
        _gauge("database_up", "Whether a database answers.", ["database"], up),
        *_of_services([row for answer in answers.values() for row in answer.services]),
        *_of_operations(answers),
        *_of_hosts(answers),
        *(_of_audits(audit) if audit is not None else ()),
    ]


def _of_services(rows: Sequence[tuple[str, str, float, bool, bool]]) -> list[Metric]:
    count = Counter((binary, "up" if is_up else "down") for binary, _, _, is_up, _ in rows)
    disabled = Counter(binary for binary, _, _, _, enabled in rows if not enabled)
    binaries = sorted({binary for binary, *_ in rows})
    return [
        _gauge("services", "Services by binary and state.", ["binary", "state"],
               [((binary, state), count[binary, state]) for binary in binaries for state in ("up", "down")]),
        _gauge("services_disabled", "Services that an administrator has disabled.", ["binary"],
               [([binary], disabled[binary]) for binary in binaries]),
    ]  # fmt: skip


def _of_operations(answers: Mapping[str, _Figures]) -> list[Metric]:
    rows = [((name, row.kind, row.state), row) for name, answer in answers.items() for row in answer.operations]
    labels = ["database", "kind", "state"]
    return [
        _gauge("operations_open", "Operations that have not ended.", labels,
               [(values, row.number) for values, row in rows]),
        _gauge("operations_oldest_seconds", "Age of the oldest operation that has not ended.", labels,
               [(values, row.oldest) for values, row in rows]),
        _gauge("operations_overdue", "Operations that have not ended, and are past their deadline.", labels,
               [(values, row.overdue) for values, row in rows]),
    ]  # fmt: skip


def _of_hosts(answers: Mapping[str, _Figures]) -> list[Metric]:
    cells = {name: answer for name, answer in answers.items() if name != API}
    hosts = {name: sorted({node.host for node in cell.nodes} | set(cell.leftovers)) for name, cell in cells.items()}
    return [
        _gauge("leftovers", "What a host that was away has still to remove.", ["database", "host"],
               [((name, host), cells[name].leftovers.get(host, 0)) for name in cells for host in hosts[name]]),
        _gauge("host_failed_builds", "Builds in a row that a node failed.", ["database", "host", "node"],
               [((name, node.host, node.name), node.failed_builds) for name in cells for node in cells[name].nodes]),
    ]  # fmt: skip


def _of_audits(audit: audits.AuditFigures) -> list[Metric]:
    return [
        _counter("audits", "Audits that were made.", [], [((), audit.count)]),
        _gauge("audit_last_timestamp_seconds", "When the last audit ended.", [], [((), audit.ended_at)]),
        _gauge("audit_duration_seconds", "How long the last audit took.", [], [((), audit.seconds)]),
        _gauge("audit_findings", "What the last audit found and left as it is.", ["code"],
               [([code], count) for code, count in sorted(audit.found.items())]),
        _counter("audit_repairs", "What audits have repaired.", ["code"],
                 [([code], count) for code, count in sorted(audit.repaired.items())]),
    ]  # fmt: skip


def _of_hooks(counted: HookFigures) -> list[Metric]:
    rows = [((count.kind, count.plugin, count.hook), count) for count in counted.counts]
    plugins = sorted({(count.kind, count.plugin) for count in counted.counts})
    labels = ["kind", "plugin", "hook"]
    return [
        _counter("hook_calls", "Events that listeners and notifiers of this process were told.", labels,
                 [(values, count.calls) for values, count in rows]),
        _counter("hook_failures", "Calls of listeners and notifiers that raised.", labels,
                 [(values, count.failures) for values, count in rows]),
        _counter("hook_slow", "Calls of listeners and notifiers that took longer than their budget.", labels,
                 [(values, count.slow) for values, count in rows]),
        _gauge("hook_taken_out", "Whether a listener or notifier did not return and is not called any more.",
               labels[:2], [(plugin, float(plugin in counted.taken_out)) for plugin in plugins]),
        _counter("hook_dropped", "Events of this process that nobody was told, for too many were waiting.", [],
                 [((), counted.dropped)]),
    ]  # fmt: skip


def _gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"tenter_{name}", text, labels=labels)
    for values, amount in rows:
        family.add_metric(values, amount)
    return family


def _counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Any:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"tenter_{name}", text, labels=labels)
    for values, amount in rows:
        family.add_metric(values, amount)
    return family
