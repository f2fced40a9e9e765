"""The pytest plugin of the conformance kits: what a run says at its end, and its report as JSON.

Loaded by pytest itself through the entry point group ``pytest11``; it does nothing where no kit runs.
"""

from __future__ import annotations

import collections
import datetime
import functools
import inspect
import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tenter.testing.virt")

FORMAT = 1
"""Version of the report's format: an object with ``format`` and ``plugins``, the latter by ``kind class``."""

_UNWRITTEN = re.compile(r"\b\w+\(\) is not written yet")
"""What a method of a skeleton says: see ``tenter plugin new``."""

_OF_A_PLUGIN = ("kind", "plugin", "contract", "distribution", "date")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the report."""
    group = parser.getgroup("tenter", "conformance of Tenter's plugins")
    group.addoption("--conformance-report", metavar="FILE", help="write what each check found to FILE, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Make the kits' marker known."""
    config.addinivalue_line("markers", "conformance_needs(power): skip unless the plugin has that optional power")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Note what a check of a kit found: in the report of its worker, so that it reaches pytest-xdist's master."""
    outcome = yield
    report = outcome.get_result()
    found = _describe(item)
    if found is not None and (report.when == "call" or report.outcome != "passed"):
        report.user_properties.append(("tenter_conformance", {**found, **_outcome(report)}))


def _describe(item: pytest.Item) -> dict[str, Any] | None:
    cls = getattr(item, "cls", None)
    plugin, kind = getattr(cls, "plugin", None), getattr(cls, "kind", None)
    if not isinstance(plugin, type) or not isinstance(kind, str) or not isinstance(item, pytest.Function):
        return None
    mark = item.get_closest_marker("conformance_needs")
    return {
        "kind": kind,
        "plugin": getattr(cls, "name", None) or plugin.__name__,
        "contract": getattr(plugin, "contract", ""),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "distribution": _distribution(plugin.__module__.partition(".")[0]),
        "check": f"{kind}.{item.originalname.removeprefix('test_')}",
        "capability": mark.args[0].capability if mark else "",
        "rule": " ".join(inspect.cleandoc(item.function.__doc__ or "").split()),
    }


def _outcome(report: pytest.TestReport) -> dict[str, str]:
    if report.outcome == "skipped":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return {"outcome": "skipped", "reason": reason.removeprefix("Skipped: ")}
    if report.outcome == "failed":
        crash = getattr(report.longrepr, "reprcrash", None)
        return {"outcome": "failed", "reason": str(crash.message if crash else report.longrepr).split("\n")[0]}
    return {"outcome": "passed", "reason": ""}


@functools.cache
def _distribution(package: str) -> str:
    names = metadata.packages_distributions().get(package, [])
    return f"{names[0]} {metadata.version(names[0])}" if names else ""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say, plugin by plugin, which checks hold, what is missing and what is not written yet; write the report."""
    results, runs = _collect(terminalreporter)
    for name, plugin in results.items():
        terminalreporter.section(f"conformance of {name} ({plugin['contract']})")
        terminalreporter.write_line(_count(plugin["checks"], len(runs[name])))
        waiting: collections.Counter[str] = collections.Counter()
        for check, each in plugin["checks"].items():
            if each["outcome"] != "failed":
                continue
            if unwritten := _UNWRITTEN.search(each["reason"]):
                waiting[unwritten[0]] += 1
                continue
            terminalreporter.write_line(f"missing: {check}: {each['rule']}", red=True)
            terminalreporter.write_line(f"         {each['reason']}")
        for what, count in waiting.items():
            terminalreporter.write_line(f"{what}: {count} check{'s wait' if count > 1 else ' waits'} for it", red=True)
    path = config.getoption("--conformance-report")
    if path and results:
        Path(path).write_text(json.dumps({"format": FORMAT, "plugins": results}, indent=1, sort_keys=True) + "\n")


def _count(checks: Mapping[str, Mapping[str, str]], runs: int) -> str:
    """Return how many checks hold; ``runs`` is how many tests they are to pytest, with whose count it is compared."""
    outcomes = [each["outcome"] for each in checks.values()]
    skipped = outcomes.count("skipped")
    return (
        f"{outcomes.count('passed')} of {len(checks)} checks hold"
        + (f", {skipped} skipped" if skipped else "")
        + (f" ({runs} tests: some checks run with several values)" if runs != len(checks) else "")
    )


def _collect(terminalreporter: Any) -> tuple[dict[str, dict[str, Any]], dict[str, set[str]]]:
    """Return what was found by plugin, and its tests; a check that ran with several parameters failed if one did."""
    order = ("passed", "skipped", "failed")
    found: dict[str, dict[str, Any]] = {}
    runs: dict[str, set[str]] = collections.defaultdict(set)
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key != "tenter_conformance":
                    continue
                each = dict(value)
                name = f"{each['kind']} {each['plugin']}"
                runs[name].add(report.nodeid)
                plugin = found.setdefault(name, {key: each[key] for key in _OF_A_PLUGIN} | {"checks": {}})
                check = {key: each[key] for key in ("capability", "rule", "outcome", "reason")}
                before = plugin["checks"].get(each["check"])
                if before is None or order.index(check["outcome"]) > order.index(before["outcome"]):
                    plugin["checks"][each["check"]] = check
    return found, runs
