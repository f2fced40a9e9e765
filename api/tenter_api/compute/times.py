"""Times in the older forms of the Compute API."""

from __future__ import annotations

import datetime


def microseconds(seconds: float | None) -> str | None:
    """Return a time as key pairs and services show it: ``2026-01-31T12:00:00.000000``, UTC."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
