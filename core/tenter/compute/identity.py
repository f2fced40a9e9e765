"""A host is known by a key it made itself, never by its name."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from tenter import errors


def service_uuid(state_dir: Path, binary: str) -> str:
    """Return this host's key for a service, making it at the first start (file ``BINARY.id`` in the state dir).

    Raises Unavailable if the file is damaged: another key would make this another host.
    """
    path = state_dir / f"{binary}.id"
    if path.exists():
        try:
            return str(uuid.UUID(path.read_text().strip()))
        except ValueError as exc:
            raise errors.Unavailable(
                f"{path} is damaged: it must hold this host's UUID, as the services table of its cell has it."
            ) from exc
    key = str(uuid.uuid4())
    new = path.with_suffix(".new")
    new.write_text(key + "\n")
    os.replace(new, path)
    return key
