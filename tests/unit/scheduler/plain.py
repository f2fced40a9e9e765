"""Each shipped filter as a rule for one host and each shipped weigher as a number, written down anew in plain Python.

What looks at one thing of one host in the plugins, too (an extra spec's operator, a kind of guest), is theirs; what is
said of columns is not.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from oslo_config import cfg
from packaging.specifiers import SpecifierSet

from tenter.contracts.filter import ACCEPT, Filter, HostFilter, Verdict
from tenter.contracts.fit import CODES
from tenter.contracts.scheduling import Aggregate, HostView, PlacementRequest, Resource
from tenter.contracts.weigher import Weigher
from tenter_plugins.filters import attributes
from tenter_plugins.filters.image_properties import supported
from tenter_plugins.filters.operators import Malformed, parse
from tenter_plugins.weighers.options import ratios
from tenter_plugins.weighers.pci import free_devices

no = Verdict.reject
Rule = Callable[[HostView, PlacementRequest, cfg.ConfigOpts], Verdict]
Number = Callable[[HostView, PlacementRequest, cfg.ConfigOpts], float]
NOTHING = Resource(0, 0)


def values(host: HostView, wanted: Callable[[str], bool]) -> list[str]:
    """Return what a host's aggregates list under some keys, in order."""
    texts = [text for each in host.aggregates for key, text in each.metadata.items() if wanted(key)]
    return sorted({part.strip() for text in texts for part in text.split(",")})


def least(aggregates: Sequence[Aggregate], key: str, default: int) -> int:
    """Return the least of an aggregates' limit."""
    said = [each.metadata[key] for each in aggregates if key in each.metadata]
    if not said or not all(text.lstrip("-").isdigit() for text in said):
        return default
    return min(map(int, said))


def compute(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    if not host.enabled:
        return no("host.disabled", reason=host.disabled_reason or "none given")
    return ACCEPT if host.up else no("host.down")


def zone(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    if request.zone in (None, host.zone):
        return ACCEPT
    return no("zone.other", asked=request.zone, host=host.zone)


def resources(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    for name, asked in request.resources.items():
        word, has = CODES.get(name, name.lower()), host.resources.get(name, NOTHING)
        if not asked:
            continue
        if name in host.of_parts and any(
            part.resources[name].takes(asked) for part in host.providers if name in part.resources
        ):
            continue
        right = has.min_unit <= asked <= has.max_unit and asked % has.step_size == 0
        if has.capacity > 0 and not right:
            return no(f"{word}.unit", asked=asked, least=has.min_unit, most=has.max_unit, step=has.step_size)
        if has.free < asked:
            return no(f"{word}.short", asked=asked, free=max(has.free, 0))
    return ACCEPT


def traits(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    having = set(host.traits)
    if host.of_parts & {name for name, amount in request.resources.items() if amount}:
        for part in host.providers:
            having |= part.traits if request.resources.keys() & part.resources.keys() else set()
    if request.required_traits - having:
        return no("trait.missing", traits=sorted(request.required_traits - host.traits))
    found = request.forbidden_traits & host.traits
    return no("trait.forbidden", traits=sorted(found)) if found else ACCEPT


def capabilities(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    for spec, asked in request.extra_specs.items():
        scoped = spec.startswith("capabilities:")
        if ":" in spec and not scoped:
            continue
        path = spec.split(":")[scoped:]
        if not scoped and not attributes.always(path[0]) and path[0] not in host.hypervisor.capabilities:
            continue
        try:
            rule = parse(asked)
        except Malformed as exc:
            return no("extra_spec.malformed", key=spec, asked=asked, error=str(exc))
        found = attributes.value(host, path)
        figures = {"key": ":".join(path), "asked": asked}
        if found is None:
            return no("capability.missing", **figures)
        if not rule(found):
            return no("capability.other", **figures, **({} if path[0] in attributes.NAMES else {"host": found}))
    return ACCEPT


def image_properties(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    names = ("hw_architecture", "img_hv_type", "hw_vm_mode")
    asked = {name: request.image_properties[name] for name in names if request.image_properties.get(name)}
    kinds = list(supported(host.hypervisor))
    if not asked:
        return ACCEPT
    for kind in kinds:
        if all(text.replace("amd64", "x86_64") == kind[names.index(name)] for name, text in asked.items()):
            break
    else:
        return no("image_property.unsupported", asked=asked, host=[list(kind) for kind in kinds])
    wanted, version = request.image_properties.get("img_hv_requested_version"), host.hypervisor.version
    dotted = f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
    if wanted and version and dotted not in SpecifierSet(wanted):
        return no("hypervisor.version", asked=wanted, host=version)
    return ACCEPT


def group_apart(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    group = request.server_group
    if group is None or group.policy != "anti-affinity":
        return ACCEPT
    there = group.members.get(host.host, 0)
    return no("server_group.full", host=there, most=group.max_per_host) if there >= group.max_per_host else ACCEPT


def group_together(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    group = request.server_group
    if group is None or group.policy != "affinity" or not group.members or host.host in group.members:
        return ACCEPT
    return no("server_group.elsewhere")


def _named(request: PlacementRequest, hint: str) -> list[str]:
    asked: Any = request.hints.get(hint) or []
    return asked if isinstance(asked, list) else [asked]


def same_host(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    asked = _named(request, "same_host")
    there = any(request.hosts_of.get(uuid) == host.host for uuid in asked)
    return no("same_host.elsewhere", asked=asked) if asked and not there else ACCEPT


def different_host(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    asked = _named(request, "different_host")
    there = any(request.hosts_of.get(uuid) == host.host for uuid in asked)
    return no("different_host.here", asked=asked) if there else ACCEPT


def near(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    address = request.hints.get("build_near_host_ip")
    if not address:
        return ACCEPT
    network = ipaddress.ip_network(f"{address}/{str(request.hints.get('cidr', '24')).lstrip('/')}", strict=False)
    try:
        inside = ipaddress.ip_address(host.host_ip) in network
    except ValueError:
        inside = False
    return ACCEPT if inside else no("host_ip.outside", asked=str(network))


def aggregate_specs(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    for spec, asked in request.extra_specs.items():
        if ":" in spec and not spec.startswith("aggregate_instance_extra_specs:"):
            continue
        key = spec.removeprefix("aggregate_instance_extra_specs:")
        try:
            rule = parse(asked)
        except Malformed as exc:
            return no("extra_spec.malformed", key=spec, asked=asked, error=str(exc))
        found = values(host, key.__eq__)
        if not found:
            return no("aggregate.missing", key=key, asked=asked)
        if not any(map(rule, found)):
            return no("aggregate.other", key=key, asked=asked, host=found)
    return ACCEPT


def aggregate_images(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    for key, asked in request.image_properties.items():
        found = values(host, key.__eq__)
        if found and asked not in found:
            return no("image_property.other", key=key, asked=asked, host=found)
    return ACCEPT


def aggregate_tenancy(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    found = values(host, lambda key: key.startswith("filter_tenant_id"))
    return no("project.isolated") if found and request.project_id not in found else ACCEPT


def aggregate_flavors(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    found = values(host, "instance_type".__eq__)
    return no("flavor.other", asked=request.flavor) if found and request.flavor not in found else ACCEPT


def _limit(code: str, option: str, count: Callable[[HostView], int], by_aggregate: bool) -> Rule:
    def rule(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
        most = least(host.aggregates if by_aggregate else (), option, conf.filters[option])
        return no(code, host=count(host), most=most) if count(host) >= most else ACCEPT

    return rule


def isolated(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    inside, special = host.host in conf.filters.isolated_hosts, request.image_id in conf.filters.isolated_images
    if special == inside or (inside and not conf.filters.restrict_isolated_hosts_to_isolated_images):
        return ACCEPT
    return no("host.isolated") if inside else no("host.not_isolated")


def metrics(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> Verdict:
    for name in sorted(ratios(conf.weighers.metrics_weight_setting)):
        if name not in host.metrics:
            return no("metrics.missing", metric=name)
    return ACCEPT


_IO = ("io_ops.limit", "max_io_ops_per_host", lambda host: host.io_ops)
_MANY = ("instances.limit", "max_instances_per_host", lambda host: host.instances)
RULES: dict[str, Rule] = {
    "AggregateImagePropertiesIsolation": aggregate_images, "AggregateInstanceExtraSpecsFilter": aggregate_specs,
    "AggregateIoOpsFilter": _limit(*_IO, True), "AggregateMultiTenancyIsolation": aggregate_tenancy,
    "AggregateNumInstancesFilter": _limit(*_MANY, True), "AggregateTypeAffinityFilter": aggregate_flavors,
    "AllHostsFilter": lambda host, request, conf: ACCEPT, "AvailabilityZoneFilter": zone,
    "ComputeCapabilitiesFilter": capabilities, "ComputeFilter": compute, "DifferentHostFilter": different_host,
    "ImagePropertiesFilter": image_properties, "IoOpsFilter": _limit(*_IO, False), "IsolatedHostsFilter": isolated,
    "MetricsFilter": metrics, "NumInstancesFilter": _limit(*_MANY, False), "ResourceFilter": resources,
    "SameHostFilter": same_host, "ServerGroupAffinityFilter": group_together,
    "ServerGroupAntiAffinityFilter": group_apart, "SimpleCIDRAffinityFilter": near, "TraitFilter": traits,
}  # fmt: skip
"""The masks. The other filters are rules for one host as they are."""


def first_refusal(
    filters: Sequence[tuple[str, Filter]], host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts
) -> tuple[str, str, dict[str, object]] | None:
    """Return filter, code and figures of the first that refuses a host; None if none does."""
    for name, verdict in _verdicts(filters, host, request, conf):
        if not verdict.ok:
            return name, verdict.code, dict(verdict.figures)
    return None


def _verdicts(
    filters: Sequence[tuple[str, Filter]], host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts
) -> Iterator[tuple[str, Verdict]]:
    chosen = ((request.forced_host, host.host), (request.forced_node, host.node))
    if any(wanted not in (None, name) for wanted, name in chosen):
        yield "forced host", no("host.other")
    if host.host in request.excluded_hosts:
        yield "earlier attempt", no("host.failed")
    for name, _ in filters:
        if name in RULES:
            yield name, RULES[name](host, request, conf)
    for name, one in filters:
        if isinstance(one, HostFilter) and one.applies(request):
            yield name, one.accepts(host, request)


def _free(name: str) -> Number:
    return lambda host, request, conf: host.resources.get(name, NOTHING).free


def _members(policy: str, sign: int) -> Number:
    def number(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> float:
        group = request.server_group
        return sign * group.members.get(host.host, 0) if group is not None and group.policy == policy else 0

    return number


def _measured(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> float:
    wanted = ratios(conf.weighers.metrics_weight_setting)
    if not wanted.keys() <= host.metrics.keys():
        return float(conf.weighers.metrics_weight_of_unavailable)
    return math.fsum(host.metrics[name] * ratio for name, ratio in wanted.items())


def _failures(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> float:
    return -host.failed_builds if host.failed_builds >= conf.weighers.build_failure_threshold else 0


def _alike(host: HostView, request: PlacementRequest, conf: cfg.ConfigOpts) -> float:
    counts, total = ratios(conf.weighers.image_props_weight_setting), 0.0
    for use in host.images:
        for key, value in use.properties.items():
            if request.image_properties.get(key) == value:
                total += use.instances * (counts.get(key, 0.0) if counts else 1.0)
    return total


NUMBERS: dict[str, Number] = {
    "CPUWeigher": _free("VCPU"), "RAMWeigher": _free("MEMORY_MB"), "DiskWeigher": _free("DISK_GB"),
    "MetricsWeigher": _measured, "IoOpsWeigher": lambda host, request, conf: host.io_ops,
    "NumInstancesWeigher": lambda host, request, conf: host.instances,
    "PCIWeigher": lambda host, request, conf: -min(free_devices(host.providers), 99),
    "ServerGroupSoftAffinityWeigher": _members("soft-affinity", 1),
    "ServerGroupSoftAntiAffinityWeigher": _members("soft-anti-affinity", -1), "BuildFailureWeigher": _failures,
    "CrossCellWeigher": lambda host, request, conf: float(host.cell == request.cell),
    "HypervisorVersionWeigher": lambda host, request, conf: host.hypervisor.version,
    "ImagePropertiesWeigher": _alike,
}  # fmt: skip


def weights(
    weighers: Sequence[tuple[str, Weigher]], hosts: Sequence[HostView], request: PlacementRequest, conf: cfg.ConfigOpts
) -> list[float]:
    """Return what each of the hosts that are left gets: multiplier times (number - least) / (most - least), summed."""
    total = [0.0] * len(hosts)
    for name, weigher in weighers:
        raw = [NUMBERS[name](host, request, conf) for host in hosts]
        low, high = min(raw, default=0), max(raw, default=0)
        if low == high:
            continue
        for place, host in enumerate(hosts):
            total[place] += _multiplier(weigher, host) * (raw[place] - low) / (high - low)
    return total


def _multiplier(weigher: Weigher, host: HostView) -> float:
    key, said = weigher.aggregate_multiplier, []
    for aggregate in host.aggregates:
        try:
            said.append(float(aggregate.metadata[key]))
        except (KeyError, ValueError):
            continue
    return min(said, default=weigher.multiplier())
