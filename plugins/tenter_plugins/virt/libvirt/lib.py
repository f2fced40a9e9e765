"""The libvirt binding, imported when it is first needed, and its errors in Tenter's words."""

from __future__ import annotations

import functools
import importlib
import logging
import threading
from typing import Any

from tenter import errors

LOG = logging.getLogger(__name__)

_NO_SPACE = ("No space left on device", "Cannot allocate memory", "Disk quota exceeded")


@functools.cache
def libvirt() -> Any:
    """Return the module ``libvirt``, with its event loop running. Raises HypervisorUnavailable if it is missing."""
    try:
        module = importlib.import_module("libvirt")
    except ImportError as exc:
        raise errors.HypervisorUnavailable(
            f"The Python binding of libvirt cannot be imported ({exc}). Install it: pip install '.[libvirt]' in a "
            "checkout (Debian packages libvirt-dev, pkg-config and gcc are needed to build it)."
        ) from exc
    # libvirt prints every error to stderr unless it is told otherwise; we raise them.
    module.registerErrorHandler(lambda context, error: None, None)
    module.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_events, args=(module,), name="libvirt-events", daemon=True).start()
    return module


def _run_events(module: Any) -> None:
    while True:
        try:
            module.virEventRunDefaultImpl()
        except Exception:
            LOG.debug("The event loop of libvirt failed once", exc_info=True)


def no_such_domain(exc: Exception) -> bool:
    """Return whether a libvirtError says that the domain does not exist."""
    return bool(exc.get_error_code() == libvirt().VIR_ERR_NO_DOMAIN)  # type: ignore[attr-defined]


def translate(exc: Exception, uuid: str, log_tail: str = "") -> errors.TenterError:
    """Return what a libvirtError about one guest means, with the hypervisor's words."""
    if no_such_domain(exc):
        return errors.GuestNotFound(f"The hypervisor knows no guest {uuid}.", uuid=uuid)
    words = f"{exc}".strip()
    if log_tail and log_tail not in words:
        words = f"{words} (QEMU: {log_tail})"
    if any(text in words for text in _NO_SPACE):
        return errors.ResourceExhausted(f"The host ran out of something for guest {uuid}: {words}", uuid=uuid)
    return errors.GuestFailed(f"The hypervisor failed guest {uuid}: {words}", uuid=uuid)
