"""A whole cloud of many processes, simulated in one thread's time: the schedule is chosen, and a seed repeats it.

The processes are made of the real classes over real SQLite files; see ``world`` for what is replaced.
"""

from tests.helpers.simulation.cloud import SimulatedCloud, make_template
from tests.helpers.simulation.walk import Walk

__all__ = ["SimulatedCloud", "Walk", "make_template"]
