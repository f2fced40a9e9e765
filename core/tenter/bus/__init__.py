"""How processes call each other. A bell says "look"; nothing is lost when it is not heard."""

from tenter.bus.base import Bus
from tenter.bus.inprocess import InProcessBus
from tenter.bus.polling import PollingBus

__all__ = ["Bus", "InProcessBus", "PollingBus"]
