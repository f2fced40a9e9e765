"""The enabled plugins of a kind of which there may be any number."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from oslo_config import cfg

from tenter.contracts.base import Plugin
from tenter.plugins import load, load_class

LOG = logging.getLogger(__name__)
P = TypeVar("P", bound=Plugin)


def _anything(cls: type[Plugin]) -> None:
    return None


def load_each(
    kind: str,
    wanted: Sequence[str],
    base: type[P],
    conf: cfg.ConfigOpts,
    state_dir: Path,
    check: Callable[[type[P]], object] = _anything,
) -> list[tuple[str, P]]:
    """Construct each plugin that is wanted, once, with a state directory of its own.

    One that is broken, or whose class ``check`` raises for, is left out with one line in the log.
    """
    found: list[tuple[str, P]] = []
    for name in dict.fromkeys(wanted):
        try:
            check(load_class(kind, name, base))
            found.append((name, load(kind, name, base, conf, state_dir, conf.host)))
        except Exception as exc:
            LOG.error("The %s %s is left out: %s", kind, name, " ".join(str(exc).split()))
            LOG.debug("Why %s is left out", name, exc_info=True)
    return found
