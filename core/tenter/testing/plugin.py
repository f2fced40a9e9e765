"""The pytest plugin of the conformance kits: what a run says at its end, and its report as JSON.

Loaded by pytest itself through the entry point group ``pytest11``; it does nothing where no kit runs.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tenter.testing.virt")

FORMAT = 1
"""Version of the report's format: an object with ``format`` and ``plugins``, the latter by ``kind class``."""


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
    """Say, plugin by plugin, which checks hold and what is missing; write the report."""
    results = _collect(terminalreporter)
    for name, plugin in results.items():
        checks = plugin["checks"]
        failed = {check: each for check, each in checks.items() if each["outcome"] == "failed"}
        skipped = [check for check, each in checks.items() if each["outcome"] == "skipped"]
        terminalreporter.section(f"conformance of {name} ({plugin['contract']})")
        terminalreporter.write_line(
            f"{len(checks) - len(failed) - len(skipped)} of {len(checks)} checks hold"
            + (f", {len(skipped)} skipped" if skipped else "")
        )
        for check, each in failed.items():
            terminalreporter.write_line(f"missing: {check}: {each['rule']}", red=True)
    path = config.getoption("--conformance-report")
    if path and results:
        Path(path).write_text(json.dumps({"format": FORMAT, "plugins": results}, indent=1, sort_keys=True) + "\n")


def _collect(terminalreporter: Any) -> dict[str, dict[str, Any]]:
    """Return what was found by plugin; a check that ran with several parameters failed if one of them did."""
    order = ("passed", "skipped", "failed")
    found: dict[str, dict[str, Any]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key != "tenter_conformance":
                    continue
                each = dict(value)
                plugin = found.setdefault(
                    f"{each['kind']} {each['plugin']}",
                    {name: each[name] for name in _OF_A_PLUGIN} | {"checks": {}},
                )
                check = {name: each[name] for name in ("capability", "rule", "outcome", "reason")}
                before = plugin["checks"].get(each["check"])
                if before is None or order.index(check["outcome"]) > order.index(before["outcome"]):
                    plugin["checks"][each["check"]] = check
    return found
