"""What foreign objects say of themselves, for messages: never an error, never more than a line."""

from __future__ import annotations

LONGEST = 500


def words_of(value: object) -> str:
    """Return ``str(value)`` in one line of at most ``LONGEST`` characters, whatever its ``__str__`` does."""
    try:
        words = " ".join(str(value).split())
    except BaseException as exc:  # of a plugin: even SystemExit
        return f"(no words: its __str__ raised {type(exc).__name__})"
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
