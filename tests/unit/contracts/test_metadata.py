"""The files by which a guest learns of itself."""

from __future__ import annotations

import base64

from tenter.contracts import metadata
from tenter.contracts.network import VIF, FixedIP, NetworkInfo, Subnet
from tenter.contracts.virt import Hardware, SpawnRequest

DHCP = Subnet("s1", "10.1.0.0/24", "10.1.0.1", ("10.1.0.2",))
STATIC = Subnet("s2", "10.2.0.0/20", "10.2.0.1", ("10.1.0.2", "9.9.9.9"), dhcp=False)
VIFS = (
    VIF("port-1", "net-1", "one", "fa:16:3e:00:00:01", "bridge", (FixedIP("10.1.0.9", DHCP),), "tap1", 1442),
    VIF("port-2", "net-2", "two", "fa:16:3e:00:00:02", "user", (FixedIP("10.2.0.9", STATIC),)),
)


def request(**changes: object) -> SpawnRequest:
    values: dict = {
        "uuid": "u-1", "name": "hello", "hostname": "hello-host", "project_id": "p-1", "user_id": "user-1",
        "hardware": Hardware(1, 64, 1), "image": None, "network_info": NetworkInfo(VIFS),
    }  # fmt: skip
    return SpawnRequest(**(values | changes))


def test_meta_data() -> None:
    data = metadata.meta_data(request(metadata={"a": "b"}, keypair_name="mine", public_key="ssh-ed25519 AAAA",
                                      admin_password="pw", availability_zone="nova", launch_index=3))  # fmt: skip
    seed = data.pop("random_seed")
    assert len(base64.b64decode(seed)) == 512
    assert data == {
        "uuid": "u-1", "name": "hello", "hostname": "hello-host", "project_id": "p-1", "launch_index": 3,
        "availability_zone": "nova", "meta": {"a": "b"}, "devices": [], "admin_pass": "pw",
        "public_keys": {"mine": "ssh-ed25519 AAAA"},
        "keys": [{"name": "mine", "type": "ssh", "data": "ssh-ed25519 AAAA"}],
    }  # fmt: skip
    assert metadata.meta_data(request())["random_seed"] != seed
    assert not {"admin_pass", "public_keys", "keys"} & set(metadata.meta_data(request()))


def test_network_data() -> None:
    data = metadata.network_data(VIFS)
    assert data["links"] == [
        {"id": "tap1", "vif_id": "port-1", "type": "bridge", "mtu": 1442,
         "ethernet_mac_address": "fa:16:3e:00:00:01"},
        {"id": "tapport-2", "vif_id": "port-2", "type": "phy", "mtu": 1500,
         "ethernet_mac_address": "fa:16:3e:00:00:02"},
    ]  # fmt: skip
    assert data["networks"] == [
        {"id": "network0", "link": "tap1", "network_id": "net-1", "type": "ipv4_dhcp"},
        {
            "id": "network1", "link": "tapport-2", "network_id": "net-2", "type": "ipv4", "ip_address": "10.2.0.9",
            "netmask": "255.255.240.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.2.0.1"}],
            "services": [{"type": "dns", "address": "10.1.0.2"}, {"type": "dns", "address": "9.9.9.9"}],
        },
    ]  # fmt: skip
    assert data["services"] == [{"type": "dns", "address": "10.1.0.2"}, {"type": "dns", "address": "9.9.9.9"}]


def test_no_user_data_no_file() -> None:
    assert not any(path.endswith("user_data") for path in metadata.metadata_files(request(), ()))
    files = metadata.metadata_files(request(user_data=b""), ())
    assert files["openstack/latest/user_data"] == files["openstack/2018-08-27/user_data"] == b""
