"""A host is known by a key it made itself, never by its name."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def service_uuid(state_dir: Path, binary: str) -> str:
    """Return this host's key for a service, making it at the first start (file ``BINARY.id`` in the state dir)."""
    path = state_dir / f"{binary}.id"
    if path.exists():
        return str(uuid.UUID(path.read_text().strip()))
    key = str(uuid.uuid4())
    new = path.with_suffix(".new")
    new.write_text(key + "\n")
    os.replace(new, path)
    return key
