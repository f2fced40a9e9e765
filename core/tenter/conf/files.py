"""Which files make the configuration, and what in them no option is known for."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

NAME = "tenter.conf"
DROP_INS = "conf.d"
PLACES = ("~/.tenter", "/etc/tenter")
"""The directories that are looked into; the first that has one of these is used, and no other."""

_VARIABLE = re.compile(r"OS_([A-Z0-9_]+?)__([A-Z0-9_]+)")
"""How oslo.config's environment source calls an option. Others' variables, such as OS_AUTH_URL, are not called so."""

Known = dict[str, set[str]]
"""Names of options by section."""


def files_to_read(files: Sequence[str] | None, directories: Sequence[str] | None) -> list[str]:
    """Return the files in the order in which they are read; what a later one says counts.

    Files and directories that are given are read as given: files first, then ``*.conf`` of each directory in the order
    of their names. Otherwise it is ``tenter.conf`` and then ``conf.d/*.conf`` of one of ``PLACES``. Raises cfg.Error
    for a directory that cannot be read, and for what is no file of text; for a file that is missing or
    that may not be read, reading it does.
    """
    found = _files(files, directories)
    for file in found:
        _check_text(file)
    return found


def _check_text(file: str) -> None:
    """Raise cfg.Error for what is no file (to open a pipe would wait for ever), or none of text."""
    path = Path(file)
    try:
        mode = os.stat(file).st_mode
        if not stat.S_ISREG(mode) and not path.samefile(os.devnull):
            raise cfg.Error(f"{file} cannot be read as a configuration: it is no regular file.")
        path.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise cfg.Error(f"{file} cannot be read as a configuration: it is no text in UTF-8.") from exc
    except (FileNotFoundError, PermissionError):
        return
    except OSError as exc:
        raise cfg.Error(f"{file} cannot be read: {os.strerror(exc.errno or 0)}.") from exc


def _files(files: Sequence[str] | None, directories: Sequence[str] | None) -> list[str]:
    if files or directories:
        return [*(files or ()), *(path for directory in directories or () for path in _drop_ins(Path(directory)))]
    for place in PLACES:
        main, drop_ins = Path(place).expanduser() / NAME, Path(place).expanduser() / DROP_INS
        if os.path.exists(main) or os.path.exists(drop_ins):
            found = _drop_ins(drop_ins) if os.path.exists(drop_ins) else []
            return [str(main), *found] if os.path.exists(main) else found
    return []


def _drop_ins(directory: Path) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except OSError as exc:
        raise cfg.Error(f"The directory {directory} cannot be read: {os.strerror(exc.errno or 0)}.") from exc
    return [str(directory / name) for name in names if name.endswith(".conf") and not name.startswith(".")]


@dataclass(frozen=True)
class Unknown:
    """A section, or an option in a section that is known, that a file has and nobody reads."""

    file: str
    section: str
    option: str | None = None

    def sentence(self, known: Known) -> str:
        """Return a line that names file, section, option and what is near."""
        if self.option is None:
            near = _near(self.section, known)
            hint = f"did you mean [{near}]?" if near else "no plugin that is installed has it."
            return f"{self.file}: section [{self.section}] is not known; {hint}"
        near = _near(self.option, known[_key(self.section)])
        hint = f"; did you mean {near}?" if near else "."
        elsewhere = sorted(section for section, names in known.items() if self.option in names)
        if elsewhere:
            hint = f"; it belongs into [{'] or ['.join(elsewhere)}]."
        return f"{self.file}: [{self.section}] {self.option} is not known{hint}"


def _near(word: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word.lower(), known, 1)), "")


def _key(section: str) -> str:
    """Return a section's name as oslo.config compares it."""
    return section if section == "DEFAULT" else section.lower()


def names_by_section(options: Iterable[tuple[str, Iterable[cfg.Opt]]]) -> Known:
    """Return the names, former ones too, under which files may set these options."""
    known: Known = {}
    for section, found in options:
        own = known.setdefault(_key(section), set())
        for option in found:
            own.add(option.dest)
            for former in option.deprecated_opts:
                known.setdefault(_key(former.group or section), set()).add(former.name or option.dest)
    return known


def find_unknown(files: Sequence[str], known: Mapping[str, set[str]]) -> list[Unknown]:
    """Return what the files have that is not known, in their order, then variables of the environment that name an
    option which a known section has not. Files that can be read only: see ``new_conf``."""
    found: list[Unknown] = []
    for file in files:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(file, sections).parse()
        for section, options in sections.items():
            if _key(section) not in known:
                found.append(Unknown(file, section))
            else:
                found += [Unknown(file, section, name) for name in options if name not in known[_key(section)]]
    return [*found, *_unknown_variables(known)]


def _unknown_variables(known: Mapping[str, set[str]]) -> Iterator[Unknown]:
    for name in sorted(os.environ):
        if parts := _VARIABLE.fullmatch(name):
            section, option = parts[1] if parts[1] == "DEFAULT" else parts[1].lower(), parts[2].lower()
            if option not in known.get(section, {option}):
                yield Unknown(f"{name} in the environment", section, option)
