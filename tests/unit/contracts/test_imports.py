"""Contracts are light: a plugin, or a tool that looks at one, imports them without the rest of the fabric."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, pkgutil, sys
before = set(sys.modules)
import tenter.contracts
for found in pkgutil.iter_modules(tenter.contracts.__path__):
    __import__(f"tenter.contracts.{found.name}")
print(json.dumps(sorted(set(sys.modules) - before)))
"""
HEAVY = (
    "alembic", "falcon", "jsonschema", "oslo_config", "oslo_context", "oslo_db", "oslo_log", "oslo_messaging",
    "oslo_service", "oslo_utils", "oslo_versionedobjects", "pluggy", "requests", "sqlalchemy", "stevedore",
)  # fmt: skip
OURS = ("tenter", "tenter.contracts", "tenter.errors")


def test_importing_all_contracts_imports_nothing_else() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    loaded = json.loads(run.stdout)
    assert "tenter.contracts.network" in loaded
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    ours = [name for name in loaded if name.startswith("tenter") and not name.startswith("tenter.contracts.")]
    assert sorted({*ours} - {*OURS}) == []
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"tenter"} == set()
