"""The conformance kit of virt drivers.

A subclass with the driver's class makes it run; what else can be said there is in
:class:`tenter.testing.virt.world.VirtWorld`: which image guests boot from, what hardware they have, and hooks with
which the checks look at the host from outside, where a driver's word alone would have to do.
"""

from __future__ import annotations

from tenter.testing.virt.faults import FaultChecks
from tenter.testing.virt.host import HostChecks
from tenter.testing.virt.life import LifeChecks
from tenter.testing.virt.migration import MigrationChecks
from tenter.testing.virt.powers import PowerChecks

__all__ = ["VirtConformance"]


class VirtConformance(HostChecks, LifeChecks, FaultChecks, PowerChecks, MigrationChecks):
    """All that must hold of a virt driver."""
