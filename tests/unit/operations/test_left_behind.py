"""A build fails and what it made cannot be removed: it stays claimed on its host until that has removed it."""

from __future__ import annotations

from tenter.contracts.image import Image
from tests.conftest import MakeCloud
from tests.helpers.cloud import Cloud


def _heal(cloud: Cloud) -> None:
    cloud.virt._options.faults.clear()


def test_a_host_that_fails_at_the_clean_up_too_is_asked_again(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "spawn:1.0,destroy:1.0"}, compute={"report_interval": 0.2})
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and "told to fail spawn" in row["fault"]["message"]
    assert row["host"] is None
    assert set(cloud.leftovers().values()) == {uuid} and cloud.ports() == {uuid}
    cloud.check()
    _heal(cloud)
    cloud.reaped()
    assert cloud.guests() == set()
    cloud.delete(uuid)
    cloud.empty()


def test_an_image_that_went_meanwhile(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "destroy:1.0"}, compute={"report_interval": 0.2})
    image: Image = cloud.image()
    cloud.embedded.image.delete(image.id)  # type: ignore[attr-defined]
    uuid = cloud.create()
    row = cloud.settled(uuid)
    assert row["vm_state"] == "error" and row["host"] is None
    assert "No image found" in row["fault"]["message"]
    cloud.check()
    cloud.delete(uuid)
    assert set(cloud.leftovers().values()) == {uuid}
    _heal(cloud)
    cloud.reaped()
    cloud.empty()


def test_a_clean_failure_keeps_nothing(make_cloud: MakeCloud) -> None:
    cloud = make_cloud(fake={"faults": "spawn:1.0"})
    row = cloud.settled(cloud.create())
    assert row["vm_state"] == "error" and row["host"] is None
    assert cloud.ports() == set()
    cloud.check()
