from __future__ import annotations

import io
import json
from pathlib import Path

import pycdlib

from tenter_plugins.virt.libvirt import config_drive
from tests.unit.contracts.test_metadata import VIFS, request


def read(iso: pycdlib.PyCdlib, **path: str) -> bytes:
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, **path)
    return out.getvalue()


def test_the_drive_read_back(tmp_path: Path) -> None:
    path, user_data = tmp_path / "drive", bytes(range(256)) * 250
    config_drive.write(path, request(user_data=user_data), VIFS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size % 512 == 0, "a virtio disk has whole sectors"
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    assert iso.pvd.volume_identifier.decode().strip() == "config-2"
    for version in ("latest", "2018-08-27"):
        for kind in ("rr_path", "joliet_path"):
            base = f"/openstack/{version}"
            assert read(iso, **{kind: f"{base}/user_data"}) == user_data
            assert json.loads(read(iso, **{kind: f"{base}/meta_data.json"}))["hostname"] == "hello-host"
            assert len(json.loads(read(iso, **{kind: f"{base}/network_data.json"}))["links"]) == 2
            assert json.loads(read(iso, **{kind: f"{base}/vendor_data.json"})) == {}
    iso.close()
