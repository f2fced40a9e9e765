"""``make -C packaging install`` into an empty directory: what is there, and that it is what it says."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tenter.cli.main import parser
from tenter.conf import new_conf

ROOT = Path(__file__).parents[3]
COMMANDS = {"tenter": 1, "tenter-api": 8, "tenter-conductor": 8, "tenter-compute": 8}
MODULES = "usr/lib/python3/dist-packages"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory into which all was installed."""
    pytest.importorskip("argparse_manpage")
    pytest.importorskip("shtab")
    directory = tmp_path_factory.mktemp("image")
    command = ["make", "-C", str(ROOT / "packaging"), "install", f"DESTDIR={directory}", "PREFIX=/usr",
               f"PYTHON={sys.executable}", f"PYTHONDIR=/{MODULES}", "RUNTIME=/usr/lib/tenter/runtime"]  # fmt: skip
    # Only what was installed is to be seen, not this checkout.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MAKEFLAGS")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return directory


def test_everything_is_installed(image: Path) -> None:
    found = {str(path.relative_to(image)) for path in image.rglob("*") if path.is_file()}
    wanted = {f"usr/bin/{name}" for name in COMMANDS}
    wanted |= {f"usr/share/man/man{section}/{name}.{section}" for name, section in COMMANDS.items()}
    wanted |= {f"usr/share/bash-completion/completions/{name}" for name in COMMANDS}
    wanted |= {f"usr/share/zsh/site-functions/_{name}" for name in COMMANDS}
    wanted |= {f"usr/lib/systemd/system/{name}.service" for name in (*list(COMMANDS)[:3], "tenter-compute@")}
    wanted |= {
        "etc/tenter/tenter.conf", "etc/tenter/conf.d/50-libvirt.conf", "usr/lib/sysusers.d/tenter.conf",
        "usr/lib/tmpfiles.d/tenter.conf", "usr/share/man/man5/tenter.conf.5",
        "usr/share/doc/tenter/examples/tenter.conf.sample", "usr/share/doc/tenter/examples/unprivileged.conf",
    }  # fmt: skip
    modules = {name for name in found if name.startswith(MODULES)}
    assert found - modules == wanted
    sources = {f"{MODULES}/{path.relative_to(ROOT / top)}" for top in ("core", "plugins", "api")
               for path in (ROOT / top).rglob("*.py")}  # fmt: skip
    assert {name for name in modules if name.endswith(".py")} == sources
    assert not any(str(image).encode() in (image / name).read_bytes() for name in found)


def test_units_have_no_gaps_left(image: Path) -> None:
    for path in [*(image / "usr/lib/systemd/system").iterdir(), image / "usr/lib/tmpfiles.d/tenter.conf"]:
        assert not re.search("@[A-Z]+@", path.read_text())
    unit = (image / "usr/lib/systemd/system/tenter-compute@.service").read_text()
    assert "ExecStart=/usr/bin/tenter-compute --cell %i\n" in unit


def test_commands_see_the_runtime_first_and_nothing_of_their_user(image: Path) -> None:
    text = (image / "usr/bin/tenter-api").read_text()
    assert text.startswith("#!/usr/bin/python3 -I\n")
    tree = ast.unparse(ast.parse(text))
    assert tree.index("sys.path.insert(0, '/usr/lib/tenter/runtime')") < tree.index("from tenter.cli.main import api")
    assert os.access(image / "usr/bin/tenter-api", os.X_OK)


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
@pytest.mark.parametrize("page", [*(f"man{s}/{name}.{s}" for name, s in COMMANDS.items()), "man5/tenter.conf.5"])
def test_man_pages_are_well_formed(image: Path, page: str) -> None:
    command = ["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou", image / "usr/share/man" / page]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    words = " ".join(done.stdout.split())
    expected = {"tenter.1": "tenter up", "tenter-compute.8": "--cell NAME", "tenter.conf.5": "virt_driver"}
    assert expected.get(Path(page).name, "--state-dir DIR") in words


def test_bash_completes_what_the_parser_knows(image: Path) -> None:
    script = image / "usr/share/bash-completion/completions/tenter"
    ask = f'. {script}; COMP_WORDS=(tenter ""); COMP_CWORD=1; _shtab_tenter; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    (commands,) = (action.choices for action in parser()._actions if action.dest == "command")
    assert commands is not None
    assert set(commands) <= set(done.stdout.split())


def test_configurations_can_be_read_and_the_sample_is_whole(image: Path) -> None:
    sample = image / "usr/share/doc/tenter/examples/tenter.conf.sample"
    files = [image / "etc/tenter/tenter.conf", image / "etc/tenter/conf.d/50-libvirt.conf"]
    assert new_conf([str(path) for path in files]).virt_driver == "libvirt"
    text = sample.read_text()
    new_conf([str(sample)])
    assert "[scheduler]" in text and "[libvirt]" in text and "[local_network]" in text
    assert all(not line or line[0] in "#[" for line in text.splitlines())
