"""What the checks of virt drivers share: the author's attributes and hooks, and the guests that are asked for."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import itertools
import json
import uuid as uuidlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tenter.contracts.base import SupportsTeardown
from tenter.contracts.network import VIF, FixedIP, NetworkInfo, Subnet
from tenter.contracts.virt import (
    DestroyRequest,
    GuestRef,
    Hardware,
    HostSetup,
    ImageSource,
    PowerOffRequest,
    PowerState,
    SpawnRequest,
    VirtDriver,
)
from tenter.testing.base import Conformance
from tenter.testing.virt import interrupted, processes
from tenter.testing.virt.waiting import wait_until

UNKNOWN = "00000000-0000-4000-8000-00000000dead"
"""UUID of a guest that never was."""

Start = Callable[..., VirtDriver]
New = Callable[..., SpawnRequest]
_CHUNK = 1 << 20
_KEPT = pytest.StashKey[Path]()


class VirtWorld(Conformance):
    """Attributes and hooks that an author sets in a subclass, and the fixtures ``start``, ``driver`` and ``new``."""

    kind = "virt"
    plugin: ClassVar[type[VirtDriver]]

    image: ClassVar[Path | None] = None
    """File of an image to spawn guests from; None: 64 KiB that do not boot, for a driver that only looks at data. An
    image that must be built first: override the fixture ``image_file``."""

    disk_format: ClassVar[str] = "raw"
    """Format of the image."""

    hardware: ClassVar[Hardware] = Hardware(vcpus=1, memory_mib=128, root_gib=1)
    """Hardware of the guests."""

    vif_type: ClassVar[str | None] = "user"
    """Type of the guests' one interface (see ``tenter.contracts.network.VIF``); None: they have none."""

    network_namespace: ClassVar[str | None] = None
    """Network namespace that the driver is told at ``init_host``."""

    patience: ClassVar[float] = 60.0
    """Seconds after which what should have happened is taken as never happening."""

    boot_seconds: ClassVar[float] = 180.0
    """Seconds that a guest's own system may take to come up."""

    many: ClassVar[int] = 8
    """How many guests are made at once where many are."""

    cache: ClassVar[Sequence[str]] = ()
    """Patterns (fnmatch: ``*`` matches slashes too) of paths in the driver's state directory that may stay when all
    guests are gone: caches, logs."""

    keep_state: ClassVar[bool] = False
    """True: all checks use one state directory, which spares a hypervisor's daemon its start for each of them."""

    _asked: AbstractSet[str] = frozenset()
    """UUIDs of the guests that the check has asked for."""

    # What can be seen from outside, so that a check need not believe the driver. None: it cannot be seen.

    def running(self, driver: VirtDriver, uuid: str) -> bool | None:
        """Return whether there really is a guest that runs, such as its process; a paused one counts."""
        return None

    def leftovers(self, driver: VirtDriver) -> list[str]:
        """Return a name for each thing that the driver has on the host now. What is there after a guest's end and was
        not before its spawn has leaked. Default: what is in its state directory, without ``cache``; processes whose
        command line or environment names that directory or a guest's UUID; and all that this process has started."""
        root = driver.setup.state_dir
        paths = (str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        files = [path for path in paths if not any(fnmatch.fnmatch(path, each) for each in self.cache)]
        alive = {*processes.naming([str(root), *self._asked]), *processes.descendants()}
        return files + sorted(map(str, alive))

    def installed(self, driver: VirtDriver) -> list[str]:
        """Return a name for each thing that the driver has made on the host for itself, outside of its state directory:
        daemons, bridges, namespaces."""
        return []

    def incarnation(self, driver: VirtDriver, uuid: str) -> object:
        """Return what differs between two starts of a guest, such as its process's id."""
        return None

    def progress(self, driver: VirtDriver, uuid: str) -> Any:
        """Return a number that grows for as long as the guest executes, such as its processor time."""
        return None

    def root_data(self, driver: VirtDriver, uuid: str) -> object:
        """Return what is on the guest's root disk, such as a digest of its first MiB."""
        return None

    def scribble(self, driver: VirtDriver, uuid: str) -> bool:
        """Write something to the root disk of a guest that is shut down, as it would itself, so that ``root_data``
        changes; return True. False: it cannot be done."""
        return False

    def virtual_hardware(self, driver: VirtDriver, uuid: str) -> Hardware | None:
        """Return what the guest, which runs, was given."""
        return None

    def told(self, driver: VirtDriver, uuid: str) -> Mapping[str, object] | None:
        """Return what the guest can learn of itself: ``uuid``, ``hostname``, ``metadata``, ``user_data`` (bytes), or
        those of them that can be seen."""
        return None

    def booted(self, driver: VirtDriver, uuid: str) -> bool | None:
        """Return whether the guest's own system has come up since its last start."""
        return None

    def end(self, driver: VirtDriver, uuid: str) -> bool:
        """End the guest behind the driver's back, as if it had crashed (kill its process), and return True."""
        return False

    # The world of one check.

    @pytest.fixture
    def image_file(self, tmp_path: Path) -> Path:
        """The file of ``image``."""
        if self.image is not None:
            return self.image
        path = tmp_path / "image"
        path.write_bytes(b"an image that does not boot\n".ljust(64 << 10, b"\0"))
        return path

    @pytest.fixture
    def state_dir(
        self, request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Path:
        """The directory of all state; with ``keep_state`` that of the whole class, which is taken down at its end."""
        if not self.keep_state:
            return tmp_path / "state"
        checks = request.node.getparent(pytest.Class)
        if _KEPT not in checks.stash:
            checks.stash[_KEPT] = tmp_path_factory.mktemp("kept")
            checks.addfinalizer(lambda: self._take_down(checks.stash[_KEPT]))
        return checks.stash[_KEPT]

    def _take_down(self, state_dir: Path) -> None:
        for host in state_dir.iterdir():
            driver = self.construct(host, host.name, {})
            if isinstance(driver, SupportsTeardown):
                assert driver.teardown() == []
            driver.close()

    @pytest.fixture
    def start(self, make: Callable[..., VirtDriver]) -> Iterator[Start]:
        """Start the driver as the compute service does at its start; called again, as a service that was killed does.

        Keyword arguments are options; ``host`` is another host. At the end all guests are destroyed, and a process of
        one that still lives fails the check.
        """
        last: dict[str, VirtDriver] = {}

        def started(host: str | None = None, **options: object) -> VirtDriver:
            driver = make(host=host, **options)
            driver.init_host(self.host_setup(host or self.host))
            last[host or self.host] = driver
            return driver

        yield started
        for driver in last.values():
            for guest in driver.guests():
                driver.destroy(DestroyRequest(GuestRef(guest.uuid)))
            if isinstance(driver, SupportsTeardown) and not self.keep_state:
                driver.teardown()
        left = processes.naming(self._asked)
        assert not left, f"all guests are destroyed, and these run on: {', '.join(map(str, left))}"

    def host_setup(self, host: str) -> HostSetup:
        """Return what the driver is told at ``init_host``."""
        mode = "none" if self.vif_type in (None, "other") else "user" if self.vif_type == "user" else "bridge"
        return HostSetup(host, self.network_namespace, mode)

    @pytest.fixture
    def driver(self, start: Start) -> VirtDriver:
        """The driver, started."""
        return start()

    @pytest.fixture
    def ready(self, driver: VirtDriver) -> VirtDriver:
        """The same."""
        return driver

    @pytest.fixture
    def new(self, image_file: Path) -> New:
        """Return what a new guest is to be; keyword arguments change it."""
        numbers = itertools.count()
        self._asked = asked = set()

        def request(**changes: Any) -> SpawnRequest:
            number = next(numbers)
            values: dict[str, Any] = {
                "uuid": str(uuidlib.uuid4()),
                "name": f"guest {number}",
                "hostname": f"guest-{number}",
                "project_id": "project",
                "user_id": "user",
                "hardware": self.hardware,
                "image": self.image_source(image_file),
                "network_info": NetworkInfo(self.vifs(number)),
            }
            made = SpawnRequest(**{**values, **changes})
            asked.add(made.uuid)
            return made

        return request

    def vifs(self, number: int) -> list[VIF]:
        """Return the interfaces of the check's guest ``number``."""
        if self.vif_type is None:
            return []
        address = FixedIP(f"10.0.2.{15 + number}", Subnet("subnet", "10.0.2.0/24"))
        mac = f"fa:16:3e:00:00:{number + 1:02x}"
        return [VIF(str(uuidlib.uuid4()), "network", "private", mac, self.vif_type, (address,))]

    def image_source(self, file: Path, fresh: bool = False, **changes: Any) -> ImageSource:
        """Return the image in ``file``; ``fresh``: as one that no cache can know; keyword arguments change it."""

        def chunks() -> Iterator[bytes]:
            with file.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    yield chunk

        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        values: dict[str, Any] = {
            "id": str(uuidlib.uuid4()) if fresh else str(uuidlib.uuid5(uuidlib.NAMESPACE_OID, digest)),
            "name": "conformance",
            "disk_format": self.disk_format,
            "size": file.stat().st_size,
            "checksum": f"sha256:{digest}",
            "open": chunks,
        }
        return ImageSource(**{**values, **changes})

    # What checks ask.

    def power(self, driver: VirtDriver, uuid: str) -> PowerState:
        """Return the guest's power state."""
        return driver.state(GuestRef(uuid)).power

    def must_run(self, driver: VirtDriver, uuid: str, when: str) -> None:
        """Fail unless the guest runs, by the driver's words and by what is seen from outside."""
        assert self.power(driver, uuid) is PowerState.RUNNING, f"{when} the driver says that the guest does not run"
        assert self.running(driver, uuid) is not False, f"{when} there is no guest that runs, whatever the driver says"

    def must_not_run(self, driver: VirtDriver, uuid: str, when: str) -> None:
        """Fail unless the guest is there and does not run."""
        power = self.power(driver, uuid)
        assert power in (PowerState.SHUTDOWN, PowerState.CRASHED), f"{when} the guest is {power.name}"
        assert not self.running(driver, uuid), f"{when} the guest still runs, whatever the driver says"

    def listed(self, driver: VirtDriver) -> dict[str, PowerState]:
        """Return what ``guests`` says; fail if it names a guest twice."""
        guests = list(driver.guests())
        found = {guest.uuid: guest.power for guest in guests}
        assert len(found) == len(guests), f"guests() names a guest twice: {guests}"
        return found

    def must_be_gone(self, driver: VirtDriver, uuid: str, before: Sequence[str], when: str) -> None:
        """Fail if anything of the guest is left; ``before`` is what ``leftovers`` said before its spawn."""
        assert uuid not in self.listed(driver), f"{when} guests() still lists the guest"
        assert not self.running(driver, uuid), f"{when} the guest still runs"
        left = sorted(set(self.leftovers(driver)) - set(before))
        assert not left, f"{when} this is left on the host: {', '.join(left)}"

    def spawn(self, driver: VirtDriver, request: SpawnRequest) -> GuestRef:
        """Spawn the guest and return how it is named from then on."""
        return GuestRef(request.uuid, driver.spawn(request))

    def stop(self, driver: VirtDriver, guest: GuestRef) -> None:
        """Force the guest off."""
        driver.power_off(PowerOffRequest(guest, timeout=0))

    def destroy(self, driver: VirtDriver, guest: GuestRef) -> None:
        """Destroy the guest."""
        driver.destroy(DestroyRequest(guest))

    def interrupt_spawn(self, driver: VirtDriver, request: SpawnRequest, image_file: Path) -> None:
        """Spawn the guest in a process of its own, on the same state, that is killed in the middle."""
        image = request.image
        assert image is not None
        recipe = interrupted.Recipe(
            plugin=type(driver),
            kind=self.kind,
            options=dict(self.options),
            root=driver.setup.state_dir.parents[1],
            setup=self.host_setup(driver.setup.host),
            image=(image.id, image.disk_format, image.size, image.checksum or "", image_file),
            uuid=request.uuid,
            hardware=request.hardware,
        )
        done = interrupted.run(recipe, self.patience * 2)
        assert done.returncode == -9, f"the spawn to be killed ended by itself: {done.stderr.decode()[-2000:]}"

    def stop_with_data(self, driver: VirtDriver, guest: GuestRef) -> object:
        """Stop the guest, let it have data of its own on its root disk where that can be done; return ``root_data``."""
        self.stop(driver, guest)
        before = self.root_data(driver, guest.uuid)
        if not self.scribble(driver, guest.uuid):
            return before
        after = self.root_data(driver, guest.uuid)
        assert before is None or after != before, "scribble() changed nothing that root_data() sees"
        return after

    def must_boot(self, driver: VirtDriver, uuid: str) -> None:
        """Wait until the guest's own system has come up, where that can be seen."""
        if self.booted(driver, uuid) is not None:
            wait_until(lambda: self.booted(driver, uuid), self.boot_seconds, "the guest's system comes up")


def must_be_json(value: object, what: str) -> None:
    """Fail unless ``value`` can be stored as JSON and comes back the same."""
    with contextlib.suppress(TypeError, ValueError):
        if json.loads(json.dumps(value)) == value:
            return
    pytest.fail(f"{what} does not come back the same from JSON: {value!r}")
