"""The fake virt driver: real state, no hypervisor. Its delays and faults are options, for tests and benchmarks."""

from tenter_plugins.virt.fake.driver import FakeDriver

__all__ = ["FakeDriver"]
