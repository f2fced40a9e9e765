"""The shipped weighers hold what the kit asks, as they are and with options that give them something to say."""

from __future__ import annotations

import pytest

from tenter.contracts.weigher import ColumnWeigher, Weigher
from tenter.plugins import loading
from tenter.testing import WeigherConformance
from tenter_plugins.weighers.build_failure import BuildFailureWeigher
from tenter_plugins.weighers.cross_cell import CrossCellWeigher
from tenter_plugins.weighers.hypervisor_version import HypervisorVersionWeigher
from tenter_plugins.weighers.image_properties import ImagePropertiesWeigher
from tenter_plugins.weighers.load import IoOpsWeigher, NumInstancesWeigher
from tenter_plugins.weighers.metrics import MetricsWeigher
from tenter_plugins.weighers.pci import PCIWeigher
from tenter_plugins.weighers.resources import CPUWeigher, DiskWeigher, RAMWeigher
from tenter_plugins.weighers.server_groups import ServerGroupSoftAffinityWeigher, ServerGroupSoftAntiAffinityWeigher


class TestCPUWeigher(WeigherConformance):
    plugin = CPUWeigher


class TestRAMWeigher(WeigherConformance):
    plugin = RAMWeigher


class TestDiskWeigher(WeigherConformance):
    plugin = DiskWeigher


class TestMetricsWeigher(WeigherConformance):
    plugin = MetricsWeigher


class TestMetricsWeigherOfSome(WeigherConformance):
    plugin = MetricsWeigher
    options = {"metrics_weight_setting": ["cpu.percent=-1.5", " numa.membw.current = 999999999.9 ", "gone=0"]}


class TestIoOpsWeigher(WeigherConformance):
    plugin = IoOpsWeigher


class TestNumInstancesWeigher(WeigherConformance):
    plugin = NumInstancesWeigher


class TestHypervisorVersionWeigher(WeigherConformance):
    plugin = HypervisorVersionWeigher


class TestPCIWeigher(WeigherConformance):
    plugin = PCIWeigher


class TestServerGroupSoftAffinityWeigher(WeigherConformance):
    plugin = ServerGroupSoftAffinityWeigher


class TestServerGroupSoftAntiAffinityWeigher(WeigherConformance):
    plugin = ServerGroupSoftAntiAffinityWeigher


class TestCrossCellWeigher(WeigherConformance):
    plugin = CrossCellWeigher


class TestImagePropertiesWeigher(WeigherConformance):
    plugin = ImagePropertiesWeigher


class TestImagePropertiesWeigherOfSome(WeigherConformance):
    plugin = ImagePropertiesWeigher
    options = {"image_props_weight_setting": ["os_distro=10.5", "hw_architecture=-1", "img_hv_type=0"]}


class TestBuildFailureWeigher(WeigherConformance):
    plugin = BuildFailureWeigher


TESTED = {each.plugin for each in list(globals().values()) if isinstance(each, type) and hasattr(each, "plugin")}


@pytest.mark.parametrize("name", [name for name in loading.names("weigher") if name.endswith("Weigher")])
def test_each_is_tested_here_and_aggregates_have_a_key_for_it(name: str) -> None:
    cls = loading.load_class("weigher", name, Weigher)
    assert cls in TESTED and issubclass(cls, ColumnWeigher)
    assert cls.aggregate_multiplier == cls.options[0].dest
