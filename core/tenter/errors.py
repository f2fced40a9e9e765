"""The closed set of errors. Only these cross a plugin's boundary, and one place maps them to HTTP status.

Codes are public: documented, never renamed, never reused. ``str(error)`` is a sentence for the person who caused it.
"""

from __future__ import annotations

from typing import Any


class TenterError(Exception):
    """Base of all errors. ``details`` are figures and names a program may read; never secrets."""

    code = "tenter.internal"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Invalid(TenterError):
    """What was asked is malformed or refers to something that does not exist; asking again will not help."""

    code = "tenter.invalid"


class NotFound(TenterError):
    """The thing named does not exist, or the caller may not know that it does."""

    code = "tenter.not_found"


class Conflict(TenterError):
    """The thing exists but is in a state that does not allow what was asked."""

    code = "tenter.conflict"


class Unauthorized(TenterError):
    """No valid credentials were given."""

    code = "tenter.unauthorized"


class Forbidden(TenterError):
    """The caller is known but may not do this."""

    code = "tenter.forbidden"


class TooLarge(TenterError):
    """A body, an image or a value is larger than the configured limit."""

    code = "tenter.too_large"


class QuotaExceeded(TenterError):
    """The project may not have more of this."""

    code = "tenter.quota_exceeded"


class NoValidHost(TenterError):
    """No host can take the instance; the message says why."""

    code = "tenter.no_valid_host"


class ImageUnusable(TenterError):
    """The image is missing, damaged (wrong checksum) or of a format that the driver cannot use."""

    code = "tenter.image.unusable"


class ResourceExhausted(TenterError):
    """The host ran out of something (disk space, memory, addresses) while working."""

    code = "tenter.resource_exhausted"


class HypervisorUnavailable(TenterError):
    """The hypervisor does not answer; the same call may succeed later."""

    code = "tenter.hypervisor.unavailable"


class GuestNotFound(TenterError):
    """The driver knows no such guest on this host."""

    code = "tenter.guest.not_found"


class GuestFailed(TenterError):
    """The hypervisor refused or failed what was asked of a guest; the message carries its words."""

    code = "tenter.guest.failed"


class NetworkFailed(TenterError):
    """The network could not be allocated or plugged."""

    code = "tenter.network.failed"


class CapabilityMissing(TenterError):
    """The driver or host cannot do this; the message says what is missing."""

    code = "tenter.capability.missing"


class PluginBroken(TenterError):
    """A plugin cannot be loaded; the message names it and what to do."""

    code = "tenter.plugin.broken"


class StaleAttempt(TenterError):
    """Somebody else took over the operation (or it was cancelled); what this worker does no longer counts."""

    code = "tenter.operation.stale"


class Unavailable(TenterError):
    """A part of the fabric is not reachable now; asking again later may help."""

    code = "tenter.unavailable"


class CellAway(Unavailable):
    """A cell's database cannot be opened now. The log says so, and when it is back; whoever meets this need not."""


class DeadlinePassed(Unavailable):
    """What was being done had not ended when its deadline passed."""

    code = "tenter.operation.deadline"
