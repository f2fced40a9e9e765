"""``tenter config``."""

from __future__ import annotations

from importlib import metadata

from oslo_config import generator


def namespaces() -> list[str]:
    """Return the names under which options are listed: the core's, those of plugins (``tenter.…``), the log's."""
    installed = {entry_point.name for entry_point in metadata.entry_points(group="oslo.config.opts")}
    return ["tenter", *sorted(name for name in installed if name.startswith("tenter.")), "oslo.log"]


def sample() -> int:
    """Print every option of the core and of the installed plugins, as a commented tenter.conf."""
    generator.main([word for name in namespaces() for word in ("--namespace", name)])
    return 0
