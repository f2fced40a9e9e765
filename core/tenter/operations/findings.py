"""What an audit finds that does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit. ``code`` is public and stable; ``subject`` is a UUID (or a name) that it is about.

    ``sentence`` says what was found and ``remedy`` what was done (``repaired``) or what is to be done.
    """

    code: str
    subject: str
    sentence: str
    remedy: str
    cell: str | None = None
    repaired: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Finding:
        """Return the finding that ``to_json`` made."""
        return Finding(**value)
