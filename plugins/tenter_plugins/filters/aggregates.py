"""Filters that compare a request with the metadata of the aggregates that hosts are in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection

from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, HostTable, Verdicts
from tenter_plugins.filters import metadata
from tenter_plugins.filters.operators import Malformed, parse
from tenter_plugins.filters.options import IMAGE_ISOLATION, SECTION

SPEC_MALFORMED = "extra_spec.malformed"
"""The code of a refusal of all hosts, for the extra spec that the figure ``key`` names says nothing."""


class AggregateInstanceExtraSpecsFilter(MaskFilter):
    """A host's aggregates must have what the flavor's extra specs say: ``aggregate_instance_extra_specs:KEY=VALUE``,
    and those without any scope, ``KEY=VALUE``. A value is one of :mod:`tenter_plugins.filters.operators`; a key's
    metadata may list several values with commas between, of which one must do. A host whose aggregates have no such
    key is refused.

    Codes: ``aggregate.missing`` (``key``, ``asked``), ``aggregate.other`` (``host`` too), ``extra_spec.malformed``.
    Source: Nova, admin/scheduling, AggregateInstanceExtraSpecsFilter.
    """

    contract = "filter 1.0"
    prompt = True
    scope = "aggregate_instance_extra_specs"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts of which an extra spec does not hold."""
        verdicts = ACCEPT_ALL
        for spec, asked in request.extra_specs.items():
            scope, colon, key = spec.partition(":")
            if not colon:
                key = spec
            elif scope != self.scope:
                continue
            try:
                rule = parse(asked)
            except Malformed as exc:
                return verdicts.also(table.every(False), SPEC_MALFORMED, key=spec, asked=asked, error=str(exc))
            found = metadata.column(table, key.__eq__)
            if found is None:
                return verdicts.also(table.every(False), "aggregate.missing", key=key, asked=asked)
            verdicts = verdicts.also(found.where(bool), "aggregate.missing", key=key, asked=asked).also(
                found.where(functools.partial(_any, rule)),
                "aggregate.other", key=key, asked=asked, host=metadata.listed(found),
            )  # fmt: skip
        return verdicts


class AggregateImagePropertiesIsolation(MaskFilter):
    """Where a host's aggregates have metadata of the same key as a property of the image, the property's value must
    be among the metadata's (with commas between). Keys that only one of the two has do not matter.

    Options: ``aggregate_image_properties_isolation_namespace`` and ``…_separator``: only metadata of keys that begin
    with both is looked at. Code: ``image_property.other`` (``key``, ``asked``, ``host``). Source: Nova,
    admin/scheduling, AggregateImagePropertiesIsolation.
    """

    contract = "filter 1.0"
    prompt = True
    section = SECTION
    options = IMAGE_ISOLATION

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        conf = setup.conf[SECTION]
        namespace = conf.aggregate_image_properties_isolation_namespace
        self._prefix = namespace + (conf.aggregate_image_properties_isolation_separator or "") if namespace else ""

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts whose aggregates want another value of a property."""
        verdicts = ACCEPT_ALL
        for key, asked in request.image_properties.items():
            if not asked or not key.startswith(self._prefix):
                continue
            found = metadata.column(table, key.__eq__)
            if found is not None:
                ok = found.where(functools.partial(_holds, str(asked)))
                host = metadata.listed(found)
                verdicts = verdicts.also(ok, "image_property.other", key=key, asked=asked, host=host)
        return verdicts


class AggregateMultiTenancyIsolation(MaskFilter):
    """A host in an aggregate with metadata ``filter_tenant_id``, or a longer key that begins so
    (``filter_tenant_id2``), takes instances of the projects that these list (with commas between) only. Projects may
    use other hosts too.

    Code: ``project.isolated``, without figures: they would name other projects. Source: Nova, admin/scheduling,
    AggregateMultiTenancyIsolation; admin/aggregates, tenant isolation, for the longer keys.
    """

    contract = "filter 1.0"
    prompt = True
    key = "filter_tenant_id"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts of other projects."""
        found = metadata.column(table, lambda name: name.startswith(self.key))
        if found is None:
            return ACCEPT_ALL
        project = request.project_id
        return ACCEPT_ALL.also(found.where(lambda values: not values or project in values), "project.isolated")


class AggregateTypeAffinityFilter(MaskFilter):
    """A host in an aggregate with metadata ``instance_type`` takes instances of the flavors whose names it lists
    (with commas between) only.

    Code: ``flavor.other`` (``asked``; not what the host takes, for flavors may be private). Source: Nova,
    admin/scheduling, AggregateTypeAffinityFilter.
    """

    contract = "filter 1.0"
    prompt = True
    key = "instance_type"

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts of other flavors."""
        found = metadata.column(table, self.key.__eq__)
        if found is None:
            return ACCEPT_ALL
        name = request.flavor
        return ACCEPT_ALL.also(found.where(lambda values: not values or name in values), "flavor.other", asked=name)


def _any(rule: Callable[[str], bool], values: Collection[str]) -> bool:
    return any(map(rule, values))


def _holds(asked: str, values: Collection[str]) -> bool:
    return not values or asked in values
