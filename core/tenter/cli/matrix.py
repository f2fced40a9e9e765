"""``tenter plugin matrix``: which driver holds what, from the reports of conformance runs."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenter import errors

FORMAT = 1
"""Version of the reports that are read: what ``pytest --conformance-report`` writes."""

CORE = "core"
"""The row of the checks that belong to no optional power."""

OUTCOMES = ("passed", "failed", "skipped")
NAME = re.compile(r"\w([\w .:/()\[\],+-]*[\w)\]])?")
"""Names of kinds, plugins, capabilities and checks: nothing by which reStructuredText means more than the letters."""


@dataclass(frozen=True)
class Result:
    """What one check found of one driver: ``outcome`` is passed, failed or skipped."""

    outcome: str
    reason: str = ""


_NOT_RUN = Result("failed", "not run")


@dataclass(frozen=True)
class Driver:
    """A column. ``date`` is the day of the run in ISO 8601."""

    name: str
    contract: str
    distribution: str
    date: str
    results: dict[str, Result] = field(default_factory=dict)


@dataclass
class Kind:
    """All drivers of one kind, and the checks by capability: name and rule."""

    name: str
    drivers: dict[str, Driver] = field(default_factory=dict)
    checks: dict[str, dict[str, str]] = field(default_factory=dict)

    def capabilities(self) -> list[str]:
        """Return the rows, the core first."""
        return sorted(self.checks, key=lambda name: (name != CORE, name))

    def cell(self, capability: str, driver: Driver) -> tuple[str, list[str]]:
        """Return what stands in one cell, and the reasons where it is not a plain yes.

        ``yes``, ``no`` (a check failed, or it is unknown), ``-`` (the driver has not this power, or it is off where
        the checks ran); of the core, how many checks hold, and what is the matter with the others: failed, not seen
        (skipped: the run had no means to look) or not run.
        """
        found = {check: driver.results.get(check, _NOT_RUN) for check in self.checks[capability]}
        held = [check for check, result in found.items() if result.outcome == "passed"]
        failed = [f"{check}: {result.reason}" for check, result in found.items() if result.outcome == "failed"]
        skipped = list(dict.fromkeys(result.reason for result in found.values() if result.outcome == "skipped"))
        if capability == CORE:
            return f"{len(held)} of {len(found)}{_others([*found.values()])}", failed + skipped
        if failed:
            return "no", failed
        return ("yes", skipped) if held else ("-", skipped)


def _others(found: Sequence[Result]) -> str:
    """Return how many checks do not hold, in words that follow how many do; empty if all hold."""
    unknown = found.count(_NOT_RUN)
    outcomes = [result.outcome for result in found]
    counts = {
        "failed": outcomes.count("failed") - unknown,
        "not seen": outcomes.count("skipped"),
        "not run": unknown,
    }
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def run(args: argparse.Namespace) -> int:
    """Print the matrix; exit code 0. Raises Invalid for a report that cannot be read."""
    kinds = read([Path(path) for path in args.report])
    print(as_json(kinds) if args.format == "json" else as_rest(kinds), end="")
    return 0


def read(paths: Sequence[Path]) -> list[Kind]:
    """Return what the reports say, by kind; of a driver that is in several, the last one's results. Raises Invalid."""
    kinds: dict[str, Kind] = {}
    for path in paths:
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            if report["format"] != FORMAT:
                raise errors.Invalid(f"The report {path} is of format {report['format']}; this release reads {FORMAT}.")
            for found in report["plugins"].values():
                name = _name(found["kind"])
                _add(kinds.setdefault(name, Kind(name)), found)
        except OSError as exc:
            raise errors.Invalid(f"The report {path} cannot be read: {exc.strerror}.") from exc
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise errors.Invalid(f"{path} is no report of a conformance run (pytest --conformance-report).") from exc
    return [kinds[name] for name in sorted(kinds)]


def _add(kind: Kind, found: dict[str, Any]) -> None:
    """Add what a report says of one plugin. Raises ValueError or KeyError if it is not what the kit writes."""
    plugin = _name(found["plugin"])
    before = kind.drivers.get(plugin)
    results = dict(before.results) if before else {}
    for check, each in found["checks"].items():
        kind.checks.setdefault(_name(each["capability"] or CORE), {})[_name(check)] = _text(each["rule"])
        if each["outcome"] not in OUTCOMES:
            raise ValueError(f"no outcome: {each['outcome']!r}")
        results[check] = Result(each["outcome"], _text(each["reason"]))
    contract, distribution, date = (_text(each) for each in (
        found["contract"], found["distribution"], found.get("date", "")))  # fmt: skip
    kind.drivers[plugin] = Driver(plugin, contract, distribution, date, results)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"no text: {value!r}")
    return value


def _name(value: object) -> str:
    """Return a name that may stand anywhere in a table as it is. Raises ValueError for what cannot."""
    name = _text(value)
    if not NAME.fullmatch(name):
        raise ValueError(f"no name: {value!r}")
    return name


def as_json(kinds: Sequence[Kind]) -> str:
    """Return the matrix as JSON: by kind the drivers, and by capability and driver the cell and its checks."""
    made = {kind.name: {"drivers": _drivers(kind), "capabilities": _cells(kind)} for kind in kinds}
    return json.dumps({"format": FORMAT, "kinds": made}, indent=1) + "\n"


def _drivers(kind: Kind) -> list[dict[str, str]]:
    return [{key: getattr(driver, key) for key in ("name", "contract", "distribution", "date")}
            for driver in _columns(kind)]  # fmt: skip


def _cells(kind: Kind) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for capability in kind.capabilities():
        row = made[capability] = {}
        for driver in _columns(kind):
            word, reasons = kind.cell(capability, driver)
            checks = {name: vars(driver.results[name]) for name in kind.checks[capability] if name in driver.results}
            row[driver.name] = {"support": word, "reasons": reasons, "checks": checks}
    return made


def _columns(kind: Kind) -> list[Driver]:
    return [kind.drivers[name] for name in sorted(kind.drivers)]


def as_rest(kinds: Sequence[Kind]) -> str:
    """Return the matrix as reStructuredText: a table for each kind, then the checks that each cell refers to."""
    return "\n".join(line for kind in kinds for line in (*_table(kind), *_checks(kind))) + "\n"


def _table(kind: Kind) -> Iterator[str]:
    yield from (f".. rubric:: {kind.name}", "", ".. list-table::", "   :header-rows: 1", "   :stub-columns: 1", "")
    yield from _row("", *(f"``{driver.name}``" for driver in _columns(kind)))
    for capability in kind.capabilities():
        words = (kind.cell(capability, driver)[0] for driver in _columns(kind))
        yield from _row(capability, *(f"`{word} <{_label(kind, capability)}_>`__" for word in words))
    yield from _row("contract", *(_escaped(driver.contract) for driver in _columns(kind)))
    yield from _row("run", *(_escaped(f"{driver.distribution}, {driver.date}") for driver in _columns(kind)))
    yield ""


def _checks(kind: Kind) -> Iterator[str]:
    for capability in kind.capabilities():
        yield from (f".. _{_label(kind, capability)}:", "", f".. rubric:: {kind.name}: {capability}", "")
        yield from (".. list-table::", "   :header-rows: 1", "   :widths: auto", "")
        yield from _row("check", "rule", *(f"``{driver.name}``" for driver in _columns(kind)))
        for check, rule in kind.checks[capability].items():
            found = (driver.results.get(check, _NOT_RUN) for driver in _columns(kind))
            words = (_literal(each) for each in found)
            yield from _row(f"``{check.partition('.')[2]}``", _escaped(rule), *words)
        yield ""


def _row(*cells: str) -> Iterator[str]:
    for number, cell in enumerate(cells):
        yield f"   {'*' if not number else ' '} - {cell}".rstrip()


def _literal(result: Result) -> str:
    return result.outcome if result.outcome == "passed" else f"{result.outcome}: {_escaped(result.reason)}"


def _escaped(text: str) -> str:
    """Return words that reStructuredText leaves as they are; those in double back-quotes stay literals."""
    parts = " ".join(text.split()).split("``")  # a line of its own could be a directive
    return "``".join(part if number % 2 else part.replace("\\", "\\\\").replace("*", "\\*").replace("_", "\\_")
                     .replace("`", "\\`").replace("|", "\\|") for number, part in enumerate(parts))  # fmt: skip


def _label(kind: Kind, capability: str) -> str:
    return f"conformance-{kind.name}-{capability}".replace(" ", "-").replace("_", "-")
