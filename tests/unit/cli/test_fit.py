"""``tenter fit`` on a cloud that is there."""

from __future__ import annotations

import json

import pytest

from tenter.cli import main
from tenter.store import flavors
from tests.conftest import MakeCloud
from tests.helpers.cloud import Cloud


@pytest.fixture
def cloud(make_cloud: MakeCloud) -> Cloud:
    return make_cloud(fake={"vcpus": 4})


def fit(cloud: Cloud, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    where = ["--state-dir", str(cloud.state_dir), "--config-file", str(cloud.state_dir / "test.conf")]
    code = main.main(["fit", *where, *words])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_it_fits_or_not_and_what_would(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    flavor = flavors.create_flavor(
        cloud.fabric.api_db, name="three", flavorid="3c", memory_mb=64, vcpus=3, root_gb=1, ephemeral_gb=0, swap=0,
        rxtx_factor=1.0, is_public=True, description=None,
    ).name  # fmt: skip
    code, said = fit(cloud, capsys, "--flavor", flavor, "--json")
    answer = json.loads(said)
    assert code == 0 and answer["fits"] >= 1 and sum(one["servers"] for one in answer["hosts"]) == answer["fits"]
    code, said = fit(cloud, capsys, "--flavor", flavor, "--count", str(answer["fits"] + 1))
    assert code == 2
    assert f"{answer['fits']} would fit now." in said and "cpu.short" in said
    assert "the nearest first" in said and "VCPU " in said


def test_a_host_that_there_is_not_is_said_to_be_none(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = fit(cloud, capsys, "--flavor", "m1.nano", "--on-host", "nowhere")
    assert code == 1 and "There is no host 'nowhere'" in said
