"""Every shipped filter holds what the kit asks, and says what an operator must know."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from tenter.conf import scheduler
from tenter.contracts.filter import Filter
from tenter.testing import FilterConformance
from tests.unit.packaging.test_split import setup_entry_points

ROOT = Path(__file__).parents[3]
SHIPPED: dict[str, type[Filter]] = {
    name: metadata.EntryPoint(name, target, "").load()
    for name, target in setup_entry_points()["tenter.scheduler.filters"].items()
}

for _name, _cls in SHIPPED.items():
    globals()[f"Test{_name}"] = type(f"Test{_name}", (FilterConformance,), {"plugin": _cls})


def test_all_that_a_user_of_nova_knows_is_there() -> None:
    known = {
        "AggregateImagePropertiesIsolation", "AggregateInstanceExtraSpecsFilter", "AggregateIoOpsFilter",
        "AggregateMultiTenancyIsolation", "AggregateNumInstancesFilter", "AggregateTypeAffinityFilter",
        "AllHostsFilter", "AvailabilityZoneFilter", "ComputeCapabilitiesFilter", "ComputeFilter",
        "DifferentHostFilter", "ImagePropertiesFilter", "IoOpsFilter", "IsolatedHostsFilter", "JsonFilter",
        "MetricsFilter", "NUMATopologyFilter", "NumInstancesFilter", "PciPassthroughFilter", "SameHostFilter",
        "ServerGroupAffinityFilter", "ServerGroupAntiAffinityFilter", "SimpleCIDRAffinityFilter",
    }  # fmt: skip
    assert known <= set(SHIPPED)


def test_the_default_filters_are_shipped() -> None:
    (option,) = (option for option in scheduler.OPTS if option.dest == "filters")
    assert set(option.default) <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_documentation_has_a_row_for_each_with_its_options(name: str) -> None:
    cls = SHIPPED[name]
    text = (ROOT / "docs" / "filters.rst").read_text()
    row = re.search(rf"^   \* - ``{name}``$(.*?)(?=^   \* - |\Z)", text, re.MULTILINE | re.DOTALL)
    assert row, f"{name} is not in docs/filters.rst"
    for option in cls.options:
        assert f"``{option.dest}``" in row[1], f"{name}: {option.dest}"
    assert cls.__name__ == name and cls.__doc__
