"""Options of section folder."""

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "path",
        help="Directory with a directory of *.raw files for each project, and one "
        "called public for all of them (default: in the state directory).",
    ),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section, for tools that write and check tenter.conf."""
    return [("folder", OPTS)]
