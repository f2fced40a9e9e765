"""Make what is generated when Tenter is installed: commands, units, man pages, completion, a sample configuration.

Usage: see packaging/Makefile. Tenter is taken from ``sys.path``, its entry points too.
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import importlib.util
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MANUAL = "Tenter"
DAEMONS = ("api", "conductor", "compute")
UNITS = {
    "tenter": ("a whole compute cloud in one service", "tenter(1)", "tenter up"),
    "tenter-api": ("the API", "tenter-api(8)", "tenter-api"),
    "tenter-conductor": ("a conductor", "tenter-conductor(8)", "tenter-conductor"),
    "tenter-compute@": ("the compute of this host, in cell %i", "tenter-compute(8)", "tenter-compute --cell %i"),
}
"""What is particular to each unit of systemd: what it is, its man page, its command."""
NEEDED = ("pip", "setuptools", "argparse_manpage", "docutils", "shtab")
LAUNCHER = """\
#!{interpreter} -I
import sys
{path}
from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""
FILES = """\
.TP
.I /etc/tenter/tenter.conf, /etc/tenter/conf.d/*.conf
Configuration, see
.BR tenter.conf (5).
.TP
.I /var/lib/tenter
State, unless \\fIstate_dir\\fR says otherwise.
"""
CONF_HEAD = """\
===========
tenter.conf
===========

-----------------------
configuration of Tenter
-----------------------

:Manual section: 5
:Manual group: {manual}
:Version: tenter {version}

DESCRIPTION
===========

``/etc/tenter/tenter.conf`` is read by all commands and services of Tenter, then ``/etc/tenter/conf.d/*.conf`` in the
order of their names: a later value replaces an earlier one. Who has ``tenter.conf`` or ``conf.d`` in ``~/.tenter`` has
these read instead; ``--config-file`` and ``--config-dir`` name others. Everything has a default.

An option can also come from the environment, as ``OS_SECTION__OPTION``, ``OS_DEFAULT__STATE_DIR`` for example; that
goes before files.

"""
CONF_TAIL = """\
SEE ALSO
========

tenter(1), tenter-api(8), tenter-conductor(8), tenter-compute(8)
"""


def write_commands(modules: Path, directory: Path, interpreter: str, runtime: str) -> None:
    """Write a command for each entry point ``console_scripts`` of the Tenter below ``modules``.

    They ignore the environment and the user's own modules; ``runtime`` (a directory, "" for none) comes first in their
    search path.
    """
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    (path,) = modules.glob("tenter-*.dist-info/entry_points.txt")
    parser.read(path)
    insert = f"\nsys.path.insert(0, {runtime!r})" if runtime else ""
    for name, target in parser["console_scripts"].items():
        module, _, function = target.partition(":")
        command = directory / name
        command.write_text(LAUNCHER.format(interpreter=interpreter, path=insert, module=module, function=function))
        command.chmod(0o755)


def write_units(template: Path, directory: Path, bindir: str, sysconfdir: str) -> None:
    """Write the units of systemd, which differ in nothing but what ``UNITS`` says."""
    text = template.read_text()
    for name, (summary, page, command) in UNITS.items():
        values = {"SUMMARY": summary, "PAGE": page, "COMMAND": command, "BINDIR": bindir, "SYSCONFDIR": sysconfdir}
        filled = re.sub(r"@([A-Z]+)@", lambda gap, values=values: values[gap[1]], text)
        unit = directory / f"{name}.service"
        unit.write_text(filled)
        unit.chmod(0o644)


def check() -> None:
    """Exit with one line if this Python lacks what an installation needs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(
            f"{sys.executable} lacks {', '.join(missing)}: install the extra tenter[packaging] there, or name another "
            "Python with PYTHON=."
        )


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the sub-commands."""
    (action,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(action.choices)


def parsers() -> Iterator[tuple[argparse.ArgumentParser, int, str]]:
    """Yield the parser of each command with the section and the one line of its man page."""
    from tenter.cli.main import parser as tenter

    yield tenter(), 1, "a small cloud compute fabric controller"
    for name in DAEMONS:
        # The commands tenter-NAME are "tenter NAME", whose parser says what it does in its first sentence.
        parser = subparsers(tenter())[name]
        parser.prog = f"tenter-{name}"
        yield parser, 8, (parser.description or "").partition(".")[0].lower().replace("the api", "the API")


def write_man(directory: Path) -> None:
    """Write the man pages of all commands and of tenter.conf below a directory, by section."""
    from argparse_manpage.manpage import Manpage
    from docutils.core import publish_string

    from tenter import __version__

    pages = {}
    for parser, section, summary in parsers():
        page = Manpage(parser)
        page.section, page.manual, page.description = section, MANUAL, summary
        page.source = f"tenter {__version__}"
        page.add_section("files", ">", FILES)
        page.add_section("see also", ">", _see_also(parser.prog))
        pages[f"man{section}/{parser.prog}.{section}"] = str(page)
    text = CONF_HEAD.format(manual=MANUAL, version=__version__) + "".join(_options()) + CONF_TAIL
    settings = {"report_level": 2, "halt_level": 2, "output_encoding": "unicode"}
    pages["man5/tenter.conf.5"] = publish_string(text, writer_name="manpage", settings_overrides=settings)
    for name, content in pages.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content)


def _see_also(command: str) -> str:
    pages = [("tenter", 1), *((f"tenter-{name}", 8) for name in DAEMONS), ("tenter.conf", 5)]
    return ",\n".join(f".BR {name} ({section})" for name, section in pages if name != command)


def generated(*arguments: str) -> str:
    """Return what oslo-config-generator makes of all options of Tenter."""
    from oslo_config import generator

    from tenter.cli.config import namespaces

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        generator.main([*(word for name in namespaces() for word in ("--namespace", name)), *arguments])
    return output.getvalue()


def _options() -> Iterator[str]:
    """Yield the sections of the configuration and their options as reST."""
    for name, section in json.loads(generated("--format", "json"))["options"].items():
        title = f"[{name}]"
        yield f"{title}\n{'=' * len(title)}\n\n"
        for option in section["opts"]:
            yield _option(option)


def _option(option: dict[str, Any]) -> str:
    default = option["sample_default"] if option.get("sample_default") is not None else option["default"]
    said = "no default" if default is None else f"default {_plain(default)}" if default != "" else "default empty"
    choices = [str(choice[0]) for choice in option.get("choices") or ()]
    one_of = f" One of {', '.join(choices)}." if choices else ""
    return f"**{option['name']}** ({option['type']}, {said})\n   {_plain(option['help'] or '')}{one_of}\n\n"


def _plain(text: object) -> str:
    """Return a text as reST in which nothing is markup."""
    return re.sub(r"([*`|_\\])", r"\\\1", " ".join(str(text).split()))


def write_completion(shell: str, directory: Path) -> None:
    """Write the completion of all commands for a shell, each to the file in which the shell looks for it."""
    import shtab

    directory.mkdir(parents=True, exist_ok=True)
    for parser, _, _ in parsers():
        name = parser.prog if shell == "bash" else f"_{parser.prog}"
        (directory / name).write_text(shtab.complete(parser, shell))


def write_sample(directory: Path) -> None:
    """Write a configuration of all options, each commented out with its default."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tenter.conf.sample").write_text(generated())


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(required=True)

    def add(name: str, run: Callable[[argparse.Namespace], None], *arguments: str) -> argparse.ArgumentParser:
        part = parts.add_parser(name)
        part.set_defaults(run=run)
        for argument in arguments:
            part.add_argument(argument, type=Path)
        return part

    run = lambda a: write_commands(a.modules, a.directory, a.interpreter, a.runtime)  # noqa: E731
    commands = add("commands", run, "modules", "directory")
    commands.add_argument("--interpreter", required=True)
    commands.add_argument("--runtime", default="")
    write = lambda a: write_units(a.template, a.directory, a.bindir, a.sysconfdir)  # noqa: E731
    units = add("units", write, "template", "directory")
    units.add_argument("--bindir", required=True)
    units.add_argument("--sysconfdir", required=True)
    add("check", lambda a: check())
    add("man", lambda a: write_man(a.directory), "directory")
    completion = add("completion", lambda a: write_completion(a.shell, a.directory))
    completion.add_argument("shell", choices=["bash", "zsh"])
    completion.add_argument("directory", type=Path)
    add("sample", lambda a: write_sample(a.directory), "directory")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
