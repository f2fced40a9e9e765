"""Outside distributions, and the command line that finds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers import distributions, process

DRIVER = """
    from oslo_config import cfg
    from tenter.contracts.base import Capability
    from tenter_plugins.virt.fake import FakeDriver

    class AcmeDriver(FakeDriver):
        contract = "virt 1.0"

    class Newer(AcmeDriver):
        contract = "virt 1.7"

    class Raising(AcmeDriver):
        def __init__(self, setup):
            raise RuntimeError("no such bus")

    class Exiting(AcmeDriver):
        def __init__(self, setup):
            raise SystemExit("licence expired")

    class Wrong:
        pass
"""
"""A driver that works (the fake one by another name), and others that do not."""


class Acme:
    """A place where distributions are installed, a configuration, and ``tenter`` with both."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.state_dir = directory / "installed", directory / "state"
        self.conf_file = directory / "tenter.conf"
        self.conf_file.write_text(process.CONF)

    def install(self, name: str, entry_points: distributions.EntryPoints, **options: object) -> None:
        """Install a distribution."""
        distributions.install(self.directory, name, entry_points, **options)  # type: ignore[arg-type]

    def driver(self, value: str = "acme_driver:AcmeDriver", requires: Sequence[str] = (), source: str = DRIVER) -> None:
        """Install the distribution ``tenter-acme`` with the virt driver ``acme``."""
        self.install("tenter-acme", {"tenter.virt": {"acme": value}}, modules={"acme_driver.py": source},
                     requires=requires)  # fmt: skip

    def conf(self, text: str) -> None:
        """Add to the configuration."""
        self.conf_file.write_text(self.conf_file.read_text() + text)

    def run(self, *args: object, **env: str) -> tuple[int, str, str]:
        """Run ``tenter ARGS`` with state directory and configuration; return exit code, output and error."""
        more = ("--state-dir", self.state_dir, "--config-file", self.conf_file)
        return process.run(*args, *more, **{**distributions.environment(self.directory), **env})

    def refused(self, *args: object) -> str:
        """Run what must end with exit code 1 and one line, and return the line."""
        code, out, err = self.run(*args)
        assert code == 1, (out, err)
        lines = [*out.strip().splitlines(), *err.strip().splitlines()]
        assert len(lines) == 1 and "Traceback" not in lines[0], lines
        return lines[0]


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    return Acme(tmp_path)
