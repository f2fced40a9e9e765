"""``tenter version``."""

from __future__ import annotations

import platform
from importlib import metadata

from tenter import __version__

SHOWN = ("falcon", "gunicorn", "SQLAlchemy", "oslo.versionedobjects", "libvirt-python")


def run() -> int:
    """Print versions of Tenter, Python and the main libraries."""
    print(f"tenter {__version__}, Python {platform.python_version()}")
    for name in SHOWN:
        try:
            print(f"  {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            print(f"  {name} is not installed")
    return 0
