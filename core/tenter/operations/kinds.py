"""All kinds of operations."""

from tenter.operations.build import Build
from tenter.operations.delete import Delete
from tenter.operations.model import Kinds
from tenter.operations.power import Reboot, Start, Stop
from tenter.operations.rebuild import Rebuild


def all_kinds() -> Kinds:
    """Return every kind of operation this release knows."""
    kinds = Kinds()
    for kind in (Build(), Delete(), Start(), Stop(), Reboot(), Rebuild()):
        kinds.add(kind)
    return kinds
