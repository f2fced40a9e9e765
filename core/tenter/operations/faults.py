"""How errors are written into rows."""

from __future__ import annotations

from typing import Any

from tenter import errors
from tenter.store.engine import now

WILL_NOT_MEND = (
    errors.ImageUnusable, errors.Invalid, errors.QuotaExceeded, errors.NotFound, errors.CapabilityMissing,
    errors.DeadlinePassed,
)  # fmt: skip
"""Errors that another host would raise too."""


def fault(message: str, code: int = 500, details: str | None = None) -> dict[str, Any]:
    """Return what the API shows as ``fault`` of a server in ERROR."""
    return {"code": code, "message": message[:255], "details": details or message, "created": now()}


def fault_of(error: Exception) -> dict[str, Any]:
    """Return the same for an error; what it explains is for administrators only, its sentence for anybody."""
    explanation = error.details.get("explanation") if isinstance(error, errors.TenterError) else None
    return fault(sentence(error), details=explanation)


def sentence(error: Exception) -> str:
    """Return a sentence for the user; an error that is none of ours is named but not quoted."""
    if isinstance(error, errors.TenterError):
        return error.message
    return f"Unexpected {type(error).__name__}; the log has the details."


def as_error(error: Exception, side: str | None) -> dict[str, Any]:
    """Return what is kept with a failed operation: a stable code, a sentence, the side it happened on, figures."""
    if not isinstance(error, errors.TenterError):
        return {"code": errors.TenterError.code, "message": sentence(error), "side": side, "details": {}}
    return {"code": error.code, "message": error.message, "side": side, "details": error.details}
