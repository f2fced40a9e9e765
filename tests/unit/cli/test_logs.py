"""How a line of the log looks."""

from __future__ import annotations

import io
import logging
import sys

from oslo_log.formatters import ContextFormatter

from tenter import errors
from tenter.cli import logs
from tenter.conf import new_conf


def test_an_error_is_said_once() -> None:
    conf = new_conf()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ContextFormatter(project="tenter", config=conf))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        logs.say_errors_once(conf)
        log = logging.getLogger("tenter.test")
        try:
            raise errors.Unavailable("The file is missing.")
        except errors.Unavailable as exc:
            log.warning("It is away: %s", exc)
            log.warning("It is away", exc_info=exc)
            assert sys.exc_info()[0] is errors.Unavailable
    finally:
        root.removeHandler(handler)
    first, second, *traceback = stream.getvalue().splitlines()
    assert first.endswith("It is away: The file is missing.")
    assert second.endswith("It is away: tenter.errors.Unavailable: The file is missing.") and traceback
