"""Options of plugins that need not be enabled, as their distributions list them (entry point ``oslo.config.opts``)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from oslo_config import cfg

from tenter import errors
from tenter.conf.files import Unknown, find_unknown, names_by_section
from tenter.conf.opts import known_options
from tenter.plugins import discovery
from tenter.plugins.guard import said
from tenter.plugins.kinds import KINDS, enabled
from tenter.plugins.loading import find, load_class

LOG = logging.getLogger(__name__)
Options = list[tuple[str, list[cfg.Opt]]]


def namespaces() -> list[str]:
    """Return the namespaces that oslo-config-generator and -validator are to be given: of the core, of installed
    plugins whose options can be listed, of the log."""
    listed = {entry.name for entry in discovery.options() if _listed(entry) is not None}
    return ["tenter", *sorted(listed - {"tenter"}), "oslo.log"]


def unknown(conf: cfg.ConfigOpts) -> list[str]:
    """Return a sentence for each section and option in the files of a configuration that nobody reads.

    What plugins are installed is asked only if the core does not know something; then first those that are called like
    a section in question, and no more than it takes.
    """
    files, known = conf.default_config_files, known_options(conf)
    found = find_unknown(files, known)
    for options in _listings(conf, found) if found else ():
        for section, names in names_by_section(options).items():
            known.setdefault(section, set()).update(names)
        found = find_unknown(files, known)
        if not found:
            break
    return [each.sentence(known) for each in found]


def _listings(conf: cfg.ConfigOpts, found: Iterable[Unknown]) -> Iterator[Options]:
    """Yield what functions of ``oslo.config.opts`` list, likely ones first, then options of enabled plugins which are
    listed nowhere."""
    sections = {each.section.lower() for each in found}

    def unlikely(entry: discovery.Entry) -> bool:
        return not any(section in entry.name.replace("-", "_") for section in sections)

    for entry in sorted(discovery.options(), key=unlikely):
        options = _listed(entry)
        if options is not None:
            yield options
    for kind in KINDS.values():
        for name in enabled(kind.name, conf):
            try:
                if find(kind.name, name).distribution not in {entry.distribution for entry in discovery.options()}:
                    cls = load_class(kind.name, name, kind.base())
                    yield [(cls.section, list(cls.options))]
            except errors.TenterError:  # whoever loads it says so
                continue


def _listed(entry: discovery.Entry) -> Options | None:
    """Return what one function lists, None with a warning in the log if it cannot."""
    try:
        return discovery.load_listed(entry)
    except (Exception, SystemExit) as exc:
        LOG.warning("The options that %s lists as %r cannot be read: %s", entry.origin, entry.name, said(exc))
        return None
