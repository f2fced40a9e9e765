"""The console of a server whose guest is away."""

from __future__ import annotations

import pytest

from tenter import errors
from tenter.contracts.virt import DestroyRequest, GuestRef
from tests.conftest import MakeCloud
from tests.helpers.cloud import CALLER


def test_no_guest_is_no_unknown_server(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    uuid = cloud.create()
    cloud.active(uuid)
    assert "booted" in cloud.requests.console_output(CALLER, uuid, None)
    cloud.virt.destroy(DestroyRequest(GuestRef(uuid, {})))
    with pytest.raises(errors.Conflict):
        cloud.requests.console_output(CALLER, uuid, None)
