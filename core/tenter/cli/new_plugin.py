"""``tenter plugin new``: a distribution with the skeleton of a plugin, ready to be installed and tested."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import string
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from tenter import errors
from tenter.cli import skeleton
from tenter.conf import list_opts
from tenter.contracts.base import Driver
from tenter.plugins import discovery
from tenter.plugins.kinds import KINDS

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40
OURS = "tenter"
"""The distribution of Tenter itself."""

PACKAGES = ("tenter_api", "tenter_plugins")
"""What stands in it beside the package ``tenter``."""

ALIASES = {"api": "extension", "listener": "hook", "driver": "virt", "scheduler": "filter", "migration": "feature"}
"""What else a kind is called: in its contract, its entry point group or its option."""


@dataclass(frozen=True)
class Template:
    """What is particular to the skeletons of one kind.

    ``suffix`` ends the class's name, ``module`` is where it stands. ``bodies`` of methods that need not be empty, with
    what they need from other modules. ``option`` enables it. ``kit`` is its conformance kit. ``form``
    (``module:Class``) is the one to write of several; empty where the contract has but one.
    """

    suffix: str
    module: str
    option: str
    kit: str
    bodies: Mapping[str, str] = field(default_factory=dict)
    imports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: str = ""
    methods: str = ""
    form: str = ""


FILTER = Template(
    "Filter", "filter", "scheduler.extra_filters", "FilterConformance",
    bodies={"accepts": "return ACCEPT"}, imports={"tenter.contracts.filter": ("ACCEPT",)},
    form="tenter.contracts.filter:HostFilter",
)  # fmt: skip
WEIGHER = Template(
    "Weigher", "weigher", "scheduler.extra_weighers", "WeigherConformance",
    bodies={"weigh": "return 0.0", "multiplier": "return 1.0"},
    form="tenter.contracts.weigher:HostWeigher",
)  # fmt: skip
FAST = {
    "mask": ("filter", replace(
        FILTER, bodies={"mask": "return ACCEPT_ALL"}, imports={"tenter.contracts.table": ("ACCEPT_ALL",)},
        form="tenter.contracts.filter:MaskFilter",
    )),
    "column": ("weigher", replace(
        WEIGHER, bodies={"weights": "return zeros(len(table))", "multiplier": "return 1.0"},
        imports={"numpy": ("zeros",)}, form="tenter.contracts.weigher:ColumnWeigher",
    )),
}  # fmt: skip
"""The forms that are asked about all hosts at once, by what chooses them: the kind of each, and its template."""

TEMPLATES = {
    "virt": Template("Driver", "driver", "DEFAULT.virt_driver", "VirtConformance"),
    "network": Template("Network", "driver", "DEFAULT.network_driver", "NetworkConformance"),
    "image": Template("Images", "driver", "DEFAULT.image_driver", "ImageConformance"),
    "identity": Template("Identity", "driver", "DEFAULT.identity_driver", "IdentityConformance"),
    "filter": FILTER,
    "weigher": WEIGHER,
    "feature": Template(
        "Feature", "feature", "migration.features", "FeatureConformance",
        bodies={"offer": "return None", "agree": 'return Refusal("Neither host offers anything yet.")'},
    ),
    "notifier": Template("Notifier", "notifier", "notifications.notifiers", "NotifierConformance"),
    "hook": Template(
        "Listener", "listener", "hooks.enabled", "HookConformance",
        imports={"logging": ("getLogger",), "tenter.contracts.hooks": ("Spawned",)},
        methods="""
    def spawned(self, event: Spawned) -> None:
        \"\"\"Note in the log that a server runs.\"\"\"
        getLogger(__name__).info("%s runs", event.instance_uuid)
""",
    ),
    "extension": Template(
        "Extension", "extension", "api.extensions", "ExtensionConformance",
        bodies={"routes": "return ()"}, attributes='\n    prefix = "$name"',
    ),
}  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the distribution and say what to do next; return the exit code.

    Raises Invalid for an unknown kind or a name that cannot be used, Conflict for a directory that exists.
    """
    forms = [form for form in FAST if getattr(args, form)]
    target = write(args.kind, args.name, Path(args.directory), *forms)
    drop_in = f"50-{args.name}.conf"
    print(f"{target} holds the distribution tenter-{args.name}. What to do next:\n")
    print(f"  cd {target}")
    print("  pip install -e '.[test]'            make it known to Tenter")
    print("  python -m pytest                    which checks of the contract do not hold yet")
    print(f"  tenter plugin show {args.kind} {args.name}")
    if args.kind == "virt":
        print(f"  tenter up --driver {args.name}")
    else:
        print(f"  cp {drop_in} /etc/tenter/conf.d/    enable it")
    return 0


def write(kind: str, name: str, directory: Path, *forms: str) -> Path:
    """Write a new distribution into a directory, whole or not at all, and return its own. ``forms`` are of FAST, none
    for the simple one. Raises Invalid, Conflict."""
    if kind not in TEMPLATES:
        near = difflib.get_close_matches(kind.lower(), [*TEMPLATES, *ALIASES], 1)
        meant = f" Did you mean {ALIASES.get(near[0], near[0])}?" if near else ""
        raise errors.Invalid(f"There is no skeleton for a {kind!r} plugin.{meant} There are: {', '.join(TEMPLATES)}.")
    for form in forms:
        if kind != FAST[form][0]:
            raise errors.Invalid(f"--{form} is for a new {FAST[form][0]}, not for a {kind} plugin.")
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise errors.Invalid(
            f"{name!r} cannot be a plugin's name: lower-case letters, digits and single hyphens, a letter first, "
            f"at most {LONGEST} characters."
        )
    _check_free(kind, name)
    target = directory / f"tenter-{name}"
    files = contents(kind, name, FAST[forms[0]][1] if forms else TEMPLATES[kind])
    draft: Path | None = None
    try:
        if os.path.lexists(target):
            raise errors.Conflict(f"{target} exists already; remove it, or choose another --directory.")
        directory.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".tenter-{name}.", dir=directory))
        for path, text in files.items():
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_text(text, encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(target)
    except OSError as exc:
        raise errors.Invalid(f"{target} cannot be written: {exc.strerror or exc}.") from exc
    finally:
        if draft is not None and draft.exists():
            shutil.rmtree(draft, ignore_errors=True)
    return target


def _check_free(kind: str, name: str) -> None:
    """Raise Invalid for a name by which the plugin would be taken for a part of Tenter itself."""
    section = name.replace("-", "_")
    sections = {each.lower() for each, _ in list_opts()}
    for entry in discovery.installed("oslo.config.opts"):
        if entry.distribution == OURS:
            sections.add(entry.name.rpartition(".")[2])
    shipped = {entry.name for entry in discovery.installed(KINDS[kind].group) if entry.distribution == OURS}
    if f"tenter_{section}" in PACKAGES:
        taken = f"its package tenter_{section} would be one of Tenter's own"
    elif name in shipped:
        taken = f"Tenter brings a {kind} plugin of this name"
    elif section in sections:
        taken = f"Tenter has a section [{section}] in its configuration"
    else:
        return
    raise errors.Invalid(f"{name!r} cannot be the plugin's name: {taken}. Choose another, such as 'acme-{name}'.")


def contents(kind: str, name: str, template: Template) -> dict[str, str]:
    """Return the files of the distribution: texts by path."""
    package = f"tenter_{name.replace('-', '_')}"
    section, _, option = template.option.rpartition(".")
    values = {
        "kind": kind,
        "name": name,
        "distribution": f"tenter-{name}",
        "underline": "=" * len(f"tenter-{name}"),
        "description": f"The {kind} plugin {name} of Tenter",
        "package": package,
        "module": template.module,
        "class_name": "".join(part.capitalize() for part in name.split("-")) + template.suffix,
        "kit": template.kit,
        "section": name.replace("-", "_"),
        "drop_in": f"50-{name}.conf",
        "conf_section": section,
        "conf_line": f"{option} = {name}",
        **_source(kind, template, name, package),
    }
    values["entry_points"] = _entry_points(kind, values)
    files = {
        "setup.cfg": "setup.cfg.txt",
        "pyproject.toml": "pyproject.toml.txt",
        "README.rst": "README.rst.txt",
        values["drop_in"]: "drop_in.conf.txt",
        f"{package}/{template.module}.py": "plugin.py.txt",
        "tests/test_conformance.py": "test_conformance.py.txt",
    }
    if _has_options(kind):
        files[f"{package}/options.py"] = "options.py.txt"
    found = {path: _filled(source, values) for path, source in files.items()}
    return {**found, f"{package}/__init__.py": f'"""{values["description"]}."""\n'}


def _filled(template: str, values: Mapping[str, str]) -> str:
    text = resources.files("tenter.cli").joinpath("templates", template).read_text(encoding="utf-8")
    return string.Template(text).substitute(values)


def _has_options(kind: str) -> bool:
    return issubclass(KINDS[kind].base(), Driver) or kind == "notifier"


def _entry_points(kind: str, values: Mapping[str, str]) -> str:
    lines = [f"{KINDS[kind].group} =", string.Template("    $name = $package.$module:$class_name").substitute(values)]
    if _has_options(kind):
        listed = string.Template("    tenter.$section = $package.options:list_opts").substitute(values)
        lines += ["oslo.config.opts =", listed]
    return "\n".join(lines)


def _source(kind: str, template: Template, name: str, package: str) -> dict[str, str]:
    base = replace(KINDS[kind], contract=template.form or KINDS[kind].contract).base()
    imports: skeleton.Imports = {module: set(names) for module, names in template.imports.items()}
    imports.setdefault(base.__module__, set()).add(base.__name__)
    if "agree" in template.bodies:
        imports[base.__module__].add("Refusal")
    attributes = string.Template(template.attributes).substitute(name=name)
    if _has_options(kind):
        imports[f"{package}.options"] = {"OPTS"}
        attributes += f'\n    section = "{name.replace("-", "_")}"\n    options = OPTS'
    bodies = {**skeleton.describes(base, name, imports), **template.bodies}
    methods = skeleton.class_body(base, bodies, imports) or template.methods.rstrip("\n")
    may = ", ".join(skeleton.powers(base))
    doc = "Say here what it does." + (f" Powers that it may have, each a base class to add: {may}." if may else "")
    return {
        "base": base.__name__,
        "contract": base.contract,
        "imports": skeleton.import_lines(imports),
        "class_doc": "\n    ".join(textwrap.wrap(f'"""{doc}"""', skeleton.WIDTH - 4)),
        "body": (attributes.lstrip("\n") + "\n" if attributes else "") + methods,
    }
