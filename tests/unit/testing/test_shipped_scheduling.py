"""The shipped filters hold what the kit asks."""

from __future__ import annotations

from tenter.testing import FilterConformance
from tenter_plugins.filters.availability_zone import AvailabilityZoneFilter
from tenter_plugins.filters.compute import ComputeFilter
from tenter_plugins.filters.resources import ResourceFilter


class TestAvailabilityZoneFilter(FilterConformance):
    plugin = AvailabilityZoneFilter


class TestComputeFilter(FilterConformance):
    plugin = ComputeFilter


class TestResourceFilter(FilterConformance):
    plugin = ResourceFilter
