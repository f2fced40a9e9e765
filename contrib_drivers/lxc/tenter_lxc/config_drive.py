"""The files of a config drive, where cloud-init looks for them in a container: it has no disk to label ``config-2``.

The place is the seed directory of cloud-init's datasource ConfigDrive,
https://docs.cloud-init.io/en/latest/reference/datasources/configdrive.html.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tenter.contracts.metadata import metadata_files
from tenter.contracts.network import VIF
from tenter.contracts.virt import SpawnRequest

TARGET = "/var/lib/cloud/seed/config_drive"


def write(directory: Path, owner: int, request: SpawnRequest, vifs: Sequence[VIF]) -> None:
    """Make ``directory`` with the guest's files; only the user and group ``owner`` can read them. Raises OSError."""
    for name, data in metadata_files(request, vifs).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.chown(path, owner, owner)
