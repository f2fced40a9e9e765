"""The ``tenter`` command."""
