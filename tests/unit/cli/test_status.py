"""``tenter status`` on a cloud that is there."""

from __future__ import annotations

import pytest

from tenter.cli import main
from tests.conftest import MakeCloud


def test_servers_that_found_no_host_are_counted(make_cloud: MakeCloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = make_cloud(fake={"vcpus": 1, "memory_mib": 1024})
    cloud.settled(cloud.create(flavor="5"))
    main.main(["status", "--state-dir", str(cloud.state_dir), "--config-file", str(cloud.state_dir / "test.conf")])
    assert "Servers: 1 error" in capsys.readouterr().out
