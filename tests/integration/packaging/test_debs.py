"""The Debian packages: built, checked by lintian, installed into a clean root, run, taken away and put back.

The tests go on where the one before left the root.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.process import Up, kill_group
from tests.integration.packaging.root import ENVIRONMENT, Root

ROOT = Path(__file__).parents[3]
PLUGIN = "tenter-plugin-libvirt"
MODULES = "usr/lib/python3/dist-packages"
DROP_IN = "etc/tenter/conf.d/60-fake.conf"
FAKE = "[DEFAULT]\nvirt_driver = fake\n"
pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a system of its own is made"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="needs Debian with mmdebstrap"),
]


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the packages by name: those in TENTER_DEBS, or built from this checkout without an error of lintian."""
    output = Path(os.environ.get("TENTER_DEBS") or tmp_path_factory.mktemp("debs"))
    if "TENTER_DEBS" not in os.environ:
        command = [ROOT / "tools" / "debs", "--yes", "--lint", "--output", output]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return {path.name.partition("_")[0]: path for path in output.glob("*.deb")}


def dependencies(deb: Path) -> set[str]:
    """Return the names of what a package depends on; of alternatives, the first."""
    field = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    return {re.split(r"[\s(:|]", part.strip())[0] for part in field.split(",")}


@pytest.fixture(scope="module")
def root(debs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """Return a clean system with what the packages, without the plugin, say that they need: the same for most tests,
    and so kept for the next run."""
    path = tmp_path_factory.mktemp("root") / "system"
    needed = set().union(*(dependencies(deb) for name, deb in debs.items() if name != PLUGIN))
    yield Root.make(path, needed - set(debs))
    shutil.rmtree(path)


class Cloud(Up):
    """A cloud in a root: one service or several, started by the command lines of their units."""

    def __init__(self, root: Root, directory: Path, unit: str = "tenter.service", instance: str = "") -> None:
        super().__init__(directory, conf="")
        self.state_dir = root.path / "var" / "lib" / "tenter"
        self._root = root
        self._start = exec_start(root, unit, instance)
        self.prefix: list[str] = []

    @property
    def argv(self) -> list[str]:
        """The command that the unit runs, in the root."""
        return self._root.argv("env", "-i", *_variables(), *self.prefix, *self._start, "--port", str(self.port))


def _variables() -> list[str]:
    return [f"{name}={value}" for name, value in ENVIRONMENT.items()]


def exec_start(root: Root, unit: str, instance: str = "") -> list[str]:
    """Return the command of an installed unit."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(root.path / "lib/systemd/system" / unit)
    return [word.replace("%i", instance) for word in shlex.split(parser["Service"]["ExecStart"])]


def distributions(root: Root) -> set[str]:
    """Return the distributions of ours whose entry points are known in the root."""
    return {path.stem.partition("-")[0] for path in (root.path / MODULES).glob("tenter*.dist-info")}


def virt_drivers(root: Root) -> dict[str, tuple[str, str]]:
    """Return distribution and state of the virt drivers that the installed Tenter knows, by name."""
    listed = json.loads(root.check("tenter", "plugin", "list", "--kind", "virt", "--json"))
    return {entry["name"]: (entry["distribution"], entry["state"]) for entry in listed}


def refused(root: Root) -> str:
    """Return the one line with which ``tenter up`` ends."""
    done = root.run("tenter", "up", timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_every_file_and_every_entry_point_is_in_one_package(debs: dict[str, Path], tmp_path: Path) -> None:
    owners: dict[str, str] = {}
    found: list[tuple[str, str, str]] = []
    for name, deb in debs.items():
        tree = tmp_path / name
        subprocess.run(["dpkg-deb", "-x", deb, tree], check=True)
        for path in (path for path in tree.rglob("*") if path.is_file()):
            relative = str(path.relative_to(tree))
            assert owners.setdefault(relative, name) == name, relative
        for path in (tree / MODULES).glob("*.dist-info/entry_points.txt"):
            parser = configparser.ConfigParser(delimiters=("=",))
            parser.read(path)
            found += [(group, key, name) for group in parser.sections() for key in parser[group]]
    setup = configparser.ConfigParser(delimiters=("=",))
    setup.read(ROOT / "setup.cfg")
    wanted = {
        (group, line.partition("=")[0].strip().lower())
        for group, lines in setup["options.entry_points"].items() for line in lines.splitlines() if line.strip()
    }  # fmt: skip
    assert sorted((group, key) for group, key, _ in found) == sorted(wanted)
    assert {package for group, key, package in found if (group, key) == ("tenter.virt", "libvirt")} == {PLUGIN}
    modules = {f"{MODULES}/{path.relative_to(ROOT / top)}" for top in ("core", "plugins", "api")
               for path in (ROOT / top).rglob("*.py")}  # fmt: skip
    assert modules - set(owners) == set()


def test_the_cloud_runs_without_the_plugin(debs: dict[str, Path], root: Root, tmp_path: Path) -> None:
    root.install(*(debs[name] for name in ("tenter", "tenter-api", "tenter-common", "tenter-runtime")))
    assert distributions(root) == {"tenter", "tenter_api"}
    assert "'libvirt'" in refused(root)
    root.write(DROP_IN, FAKE)
    cloud = Cloud(root, tmp_path).start()
    try:
        cloud.boot("first", cloud.image())
        assert set(cloud.settled().values()) == {"ACTIVE"}
        assert cloud.stop() == 0
    finally:
        cloud.kill()


def test_nothing_of_the_runtime_is_seen_by_others(root: Root) -> None:
    done = root.run("python3", "-c", "import sqlalchemy")
    assert done.returncode == 1 and "No module named 'sqlalchemy'" in done.stderr
    assert "SQLAlchemy 2." in root.check("tenter", "version")
    assert not (root.path / "usr/lib/tenter/runtime/bin").exists()


def test_systemd_finds_no_fault_in_the_units(debs: dict[str, Path], root: Root) -> None:
    root.install(*(debs[name] for name in ("tenter-conductor", "tenter-compute")))
    for unit in ("tenter", "tenter-api", "tenter-conductor", "tenter-compute@cell1"):
        # The root has no man.
        done = root.run("systemd-analyze", "verify", "--man=no", f"/lib/systemd/system/{unit}.service")
        assert (done.returncode, done.stderr) == (0, ""), unit
        assert "disabled" in root.run("systemctl", "is-enabled", f"{unit}.service").stdout
    assert root.check("id", "-nu", "tenter") == "tenter\n"
    assert root.check("stat", "-c", "%a %U", "/run/tenter", "/var/lib/tenter").split("\n")[0] == "755 root"


def test_its_roles_run_as_services_of_their_own(root: Root, tmp_path: Path) -> None:
    """What ``tenter.service`` made is theirs too: one state directory, one configuration."""
    log = (tmp_path / "services.log").open("w")
    api = Cloud(root, tmp_path, "tenter-api.service")
    others = exec_start(root, "tenter-conductor.service"), exec_start(root, "tenter-compute@.service", "cell1")
    running: list[subprocess.Popen[str]] = []
    try:
        api.start()
        for command in others:
            argv = root.argv("env", "-i", *_variables(), *command)
            running.append(subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, text=True))
        assert set(api.servers().values()) == {"ACTIVE"}
        api.boot("second", api.image())
        states = api.settled()
        assert set(states.values()) == {"ACTIVE"} and len(states) == 2, (tmp_path / "services.log").read_text()
        for process in running:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert api.stop() == 0
    finally:
        for process in running:
            kill_group(process)
        api.kill()
        log.close()


def test_a_plugin_comes_and_goes_with_its_package(debs: dict[str, Path], root: Root, tmp_path: Path) -> None:
    (root.path / DROP_IN).unlink()
    own_drop_in = root.path / "etc/tenter/conf.d/50-libvirt.conf"
    for purge in (False, True):
        root.install(debs[PLUGIN])
        assert virt_drivers(root) == {"fake": ("tenter", "available"), "libvirt": (PLUGIN, "enabled")}
        assert "[libvirt]" in root.check("tenter", "config", "sample")
        root.remove(PLUGIN, purge=purge)
        assert own_drop_in.exists() is not purge
        assert "tenter_plugin_libvirt" not in distributions(root)
        assert not (root.path / MODULES / "tenter_plugins/virt/libvirt").exists()
        assert "[libvirt]" not in root.check("tenter", "config", "sample")
        assert "'libvirt'" in refused(root)
        assert root.run("tenter", "plugin", "check").returncode == 1
    root.write(DROP_IN, FAKE)
    cloud = Cloud(root, tmp_path).start()
    try:
        assert set(cloud.servers().values()) == {"ACTIVE"}
    finally:
        cloud.stop()


ACME = {
    "DEBIAN/control": "Package: tenter-acme\nVersion: 2.0\nArchitecture: all\nMaintainer: Acme <acme@example.org>\n"
    "Depends: tenter-common\nDescription: a filter\n",
    "DEBIAN/conffiles": "/etc/tenter/conf.d/50-acme.conf\n",
    "etc/tenter/conf.d/50-acme.conf": "[scheduler]\nextra_filters = AcmeFilter\n",
    f"{MODULES}/acme_filter.py": "from tenter.contracts.filter import ACCEPT, HostFilter\n\n\n"
    "class AcmeFilter(HostFilter):\n    contract = 'filter 1.0'\n\n"
    "    def accepts(self, host, request):\n        return ACCEPT\n",
    f"{MODULES}/tenter_acme-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tenter-acme\nVersion: 2.0\n",
    f"{MODULES}/tenter_acme-2.0.dist-info/entry_points.txt": "[tenter.scheduler.filters]\n"
    "AcmeFilter = acme_filter:AcmeFilter\n",
}


def test_anybody_ships_a_plugin_as_a_package_of_its_own(root: Root, tmp_path: Path) -> None:
    for name, text in ACME.items():
        path = tmp_path / "acme" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    deb = tmp_path / "tenter-acme_2.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tmp_path / "acme", deb], check=True, capture_output=True)
    root.install(deb)
    listing = ("tenter", "plugin", "list", "--kind", "filter", "--json")
    found = {entry["name"]: entry for entry in json.loads(root.check(*listing))}
    assert (found["AcmeFilter"]["distribution"], found["AcmeFilter"]["state"]) == ("tenter-acme", "enabled")
    assert root.run("tenter", "plugin", "check").returncode == 0
    root.remove("tenter-acme", purge=False)
    # Its file is still there: all goes on without it, and whoever asks is told.
    assert (root.path / "etc/tenter/conf.d/50-acme.conf").exists()
    done = root.run("tenter", "plugin", "check")
    assert done.returncode == 1 and "AcmeFilter" in done.stdout + done.stderr
    cloud = Cloud(root, tmp_path).start()
    try:
        assert cloud.stop() == 0
    finally:
        cloud.kill()
    assert "AcmeFilter" in cloud.log.read_text() and "Traceback" not in cloud.log.read_text()
    root.remove("tenter-acme")


def test_it_runs_without_root(root: Root, tmp_path: Path) -> None:
    """As the drop-in among the examples has it; here without systemd, which would make the directories."""
    example = root.path / "usr/share/doc/tenter/examples/unprivileged.conf"
    drop_in = root.write("etc/systemd/system/tenter.service.d/unprivileged.conf", example.read_text())
    done = root.run("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/tenter.service")
    assert (done.returncode, done.stderr) == (0, "")
    drop_in.unlink()
    root.check("install", "-d", "-o", "tenter", "/srv/state")
    cloud = Cloud(root, tmp_path)
    cloud.state_dir = root.path / "srv/state/tenter"
    cloud.prefix = ["setpriv", "--reuid=tenter", "--regid=tenter", "--init-groups", "--bounding-set=-all",
                    "--no-new-privs", "env", "XDG_STATE_HOME=/srv/state"]  # fmt: skip
    try:
        cloud.start()
        cloud.boot("third", cloud.image())
        assert set(cloud.settled().values()) == {"ACTIVE"}
        owner = (root.path / "srv/state").stat().st_uid
        assert owner != 0 and {path.stat().st_uid for path in cloud.state_dir.rglob("*")} == {owner}
    finally:
        cloud.kill()


def test_all_goes_but_what_users_made(root: Root) -> None:
    (root.path / DROP_IN).unlink()
    root.remove("tenter", "tenter-api", "tenter-common", "tenter-conductor", "tenter-compute", "tenter-runtime")
    left = {path for pattern in ("usr/**/tenter*", "etc/tenter*", "lib/**/tenter*") for path in root.path.glob(pattern)}
    assert left == set()
    assert (root.path / "var/lib/tenter/api.sqlite").exists()
