"""What the Compute API calls the states of an instance.

A status is the word for a pair of ``vm_state`` and ``task_state``: one word for most task states of a
``vm_state``, and others for a few. The words are listed in the Compute API guide, "Server concepts".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tenter.cells.query import StateSet

_REBUILD = dict.fromkeys(("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"), "REBUILD")
_RESIZE = dict.fromkeys(("resize_prep", "resize_migrating", "resize_migrated", "resize_finish"), "RESIZE")
_REBOOT = dict.fromkeys(("rebooting", "reboot_pending", "reboot_started"), "REBOOT")
_HARD_REBOOT = dict.fromkeys(("rebooting_hard", "reboot_pending_hard", "reboot_started_hard"), "HARD_REBOOT")

_WORDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "active": (
        "ACTIVE",
        {
            **_REBOOT,
            **_HARD_REBOOT,
            **_REBUILD,
            **_RESIZE,
            "updating_password": "PASSWORD",
            "migrating": "MIGRATING",
        },
    ),
    "building": ("BUILD", {}),
    "stopped": ("SHUTOFF", {**_RESIZE, **_REBUILD}),
    "resized": ("VERIFY_RESIZE", {"resize_reverting": "REVERT_RESIZE"}),
    "paused": ("PAUSED", {"migrating": "MIGRATING"}),
    "suspended": ("SUSPENDED", {}),
    "rescued": ("RESCUE", {}),
    "error": ("ERROR", _REBUILD),
    "deleted": ("DELETED", {}),
    "soft-delete": ("SOFT_DELETED", {}),
    "shelved": ("SHELVED", {}),
    "shelved_offloaded": ("SHELVED_OFFLOADED", {}),
}

WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
"""Statuses that a server's progress is shown with."""

WITH_FAULT = frozenset({"ERROR", "DELETED"})
"""Statuses that a server's fault is shown with."""


def status_of(vm_state: str, task_state: str | None) -> str:
    """Return the status that two states make; ``UNKNOWN`` for a ``vm_state`` that is none."""
    usual, others = _WORDS.get(vm_state, ("UNKNOWN", {}))
    return others.get(task_state, usual) if task_state is not None else usual


def states_with(statuses: Iterable[str]) -> list[StateSet]:
    """Return the states that have one of the statuses, in any letter case; none for unknown statuses."""
    wanted = {status.upper() for status in statuses}
    found = []
    for vm_state, (usual, others) in _WORDS.items():
        if usual in wanted:
            unwanted = frozenset(task for task, word in others.items() if word not in wanted)
            found.append(StateSet(vm_state, unwanted, inverted=True))
            continue
        special: frozenset[str | None] = frozenset(task for task, word in others.items() if word in wanted)
        if special:
            found.append(StateSet(vm_state, special))
    return found
