"""A cloud of many processes, its users, and somebody who kills. ``tools/chaos`` runs it."""
