"""The shipped filters and weighers hold what the kits ask."""

from __future__ import annotations

from tenter.testing import FilterConformance, WeigherConformance
from tenter_plugins.filters.availability_zone import AvailabilityZoneFilter
from tenter_plugins.filters.compute import ComputeFilter
from tenter_plugins.filters.resources import ResourceFilter
from tenter_plugins.weighers.build_failure import BuildFailureWeigher
from tenter_plugins.weighers.resources import CPUWeigher, DiskWeigher, RAMWeigher


class TestAvailabilityZoneFilter(FilterConformance):
    plugin = AvailabilityZoneFilter


class TestComputeFilter(FilterConformance):
    plugin = ComputeFilter


class TestResourceFilter(FilterConformance):
    plugin = ResourceFilter


class TestCPUWeigher(WeigherConformance):
    plugin = CPUWeigher


class TestRAMWeigher(WeigherConformance):
    plugin = RAMWeigher


class TestDiskWeigher(WeigherConformance):
    plugin = DiskWeigher


class TestBuildFailureWeigher(WeigherConformance):
    plugin = BuildFailureWeigher
