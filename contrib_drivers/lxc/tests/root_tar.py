"""The smallest system there is to put into a container: busybox, and an init that says what it sees.

``python root_tar.py FILE`` writes it to a file.
"""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
from pathlib import Path

INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
SEED=/var/lib/cloud/seed/config_drive/openstack/latest
trap 'echo GUEST-BYE; exit 0' TERM
trap 'echo GUEST-REBOOT; reboot -f' USR1
echo "GUEST-READY $(cat $SEED/meta_data.json 2>/dev/null | grep -o '"hostname": "[^"]*"')"
[ ! -e /sys/class/net/eth0 ] || { ip link set eth0 up; udhcpc -i eth0 -s /bin/dhcp >/dev/null 2>&1 & }
while :; do sleep 0.1; done
"""
DHCP = """\
#!/bin/busybox sh
[ "$1" != bound ] || { ip address add "$ip/$mask" dev eth0; echo "GUEST-ADDRESS $ip" >/dev/console; }
"""


def root_tar(init: str = INIT, compression: str = "gz") -> bytes:
    """Return a root file system as a tar archive, ``compression`` as tarfile names it. Needs busybox-static."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox is missing: apt-get install busybox-static"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as tar:
        for name in (".", "bin", "dev", "etc", "proc", "sbin", "sys", "tmp", "var"):
            add(tar, name, kind=tarfile.DIRTYPE)
        add(tar, "dev/null", kind=tarfile.CHRTYPE)
        tar.add(busybox, "bin/busybox", filter=_owned_by_root)
        add(tar, "sbin/init", init.encode())
        add(tar, "bin/dhcp", DHCP.encode())
    return data.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    """Add one member, executable, root's."""
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, 0o755, len(data), link
    tar.addfile(member, io.BytesIO(data))


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(root_tar())
