"""``tenter plugin`` and the warnings about configuration, as an operator meets them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.functional.plugins.conftest import Acme
from tests.helpers import process

FILTER = """
    from oslo_config import cfg
    from tenter.contracts.filter import ACCEPT, HostFilter

    class Acme(HostFilter):
        contract = "filter 1.0"
        section = "acme"
        options = (cfg.StrOpt("key", secret=True, help="The key."), cfg.IntOpt("size", default=3, help="How large."))

        def accepts(self, host, request):
            return ACCEPT
"""


def _install(acme: Acme) -> None:
    acme.install("acme-filters", {"tenter.scheduler.filters": {"fake": "acme_filter:Acme", "Acme": "acme_filter:Acme"}},
                 modules={"acme_filter.py": FILTER}, version="2.0")  # fmt: skip


def test_list_show_and_check(acme: Acme) -> None:
    _install(acme)
    acme.conf("[scheduler]\nextra_filters = Acme\n[acme]\nsize = 7\n")
    acme.conf("[compute]\nreserved_host_memory = 1\n[acem]\nx = 1\n")
    code, out, err = acme.run("plugin", "list")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][:4] == ["kind", "name", "distribution", "contract"]
    assert ["virt", "fake", "tenter", "0.1.0", "virt", "1.0", "enabled"] in rows
    assert ["filter", "Acme", "acme-filters", "2.0", "filter", "1.0", "enabled"] in rows
    assert ["filter", "fake", "acme-filters", "2.0", "filter", "1.0", "available"] in rows

    code, out, err = acme.run("plugin", "show", "Acme", OS_ACME__KEY="hunter2")
    assert code == 0, err
    for words in ("acme-filters 2.0", "acme_filter:Acme", "enabled", "options in [acme]", "How large.",
                  "size = 7  (integer, default 3)", "key = (secret)  (string, default none)"):  # fmt: skip
        assert words in out
    assert "hunter2" not in out
    assert "several kinds: virt, filter" in acme.refused("plugin", "show", "fake")
    code, out, _ = acme.run("plugin", "show", "virt", "fake")
    assert code == 0 and "console_output " in out and " on\n" in out and "SupportsConsoleOutput" in out
    assert "Did you mean 'Acme'" in acme.refused("plugin", "show", "Acne")

    code, out, err = acme.run("plugin", "check")
    assert (code, out) == (0, "What is configured can start.\n")
    assert err.replace(f"warning: {acme.conf_file}: ", "").splitlines() == [
        "[compute] reserved_host_memory is not known; did you mean reserved_host_memory_mb?",
        "section [acem] is not known; did you mean [acme]?",
    ]
    assert not acme.state_dir.exists(), "nothing on the host may be changed"


def test_check_says_all_that_is_wrong(acme: Acme) -> None:
    _install(acme)
    acme.conf("[scheduler]\nextra_filters = Acme, Acne\n[acme]\nsize = big\n")
    code, out, _ = acme.run("plugin", "check")
    lines = out.splitlines()
    assert code == 1 and len(lines) == 2, out
    assert "[acme] size" in lines[0] and "No filter plugin is called 'Acne'" in lines[1]
    acme.conf("[api]\nport = many\nthreads = 0\n")
    code, out, _ = acme.run("plugin", "check")
    assert code == 1 and [line.partition(":")[0] for line in out.splitlines()] == ["[api] port", "[api] threads"]


def test_a_table_on_a_terminal(acme: Acme) -> None:
    main, other = pty.openpty()
    environment = {**os.environ, "COLUMNS": "160", "TERM": "xterm"}
    command = [sys.executable, "-m", "tenter.cli.main", "plugin", "list", "--config-file", str(acme.conf_file)]
    child = subprocess.Popen(command, stdout=other, env=environment)
    os.close(other)
    shown = b""
    try:
        while data := os.read(main, 65536):
            shown += data
    except OSError:  # the other end is closed
        pass
    os.close(main)
    assert child.wait(60) == 0
    assert "│" in shown.decode() and "ComputeFilter" in shown.decode()


def test_a_start_warns_of_what_nobody_reads(acme: Acme, tmp_path: Path) -> None:
    up = process.Up(tmp_path, process.CONF + "[local_network]\nmdoe = none\n[fakee]\nx = 1\n")
    up.start()
    up.stop()
    log = up.log.read_text()
    assert log.count("[local_network] mdoe is not known; did you mean mode?") == 1
    assert log.count("section [fakee] is not known; did you mean [fake]?") == 1
    assert log.count(" is not known") == 2
