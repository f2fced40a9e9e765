"""Config drives as guests know them from OpenStack: iso9660 with the files of :mod:`tenter.contracts.metadata`."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pycdlib

from tenter.contracts.metadata import LABEL, metadata_files
from tenter.contracts.network import VIF
from tenter.contracts.virt import SpawnRequest


def write(path: Path, request: SpawnRequest, vifs: Sequence[VIF]) -> None:
    """Write the guest's config drive to ``path`` (mode 0600: it holds secrets). Raises OSError."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", joliet=3, vol_ident=LABEL)
    try:
        # Plain iso9660 names are short and upper case; guests read the Rock Ridge or Joliet ones.
        short: dict[PurePosixPath, str] = {PurePosixPath("."): ""}
        for number, (name, data) in enumerate(metadata_files(request, vifs).items()):
            file = PurePosixPath(name)
            for directory in reversed(file.parents[:-1]):
                if directory not in short:
                    short[directory] = f"{short[directory.parent]}/D{len(short)}"
                    iso.add_directory(short[directory], rr_name=directory.name, joliet_path=f"/{directory}")
            iso.add_fp(io.BytesIO(data), len(data), f"{short[file.parent]}/F{number}.;1", rr_name=file.name,
                       joliet_path=f"/{file}")  # fmt: skip
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            iso.write_fp(target)
    finally:
        iso.close()
