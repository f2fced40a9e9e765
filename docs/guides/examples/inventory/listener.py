"""The hook plugin inventory of Tenter."""

from __future__ import annotations

from tenter.contracts.hooks import Deleted, HookListener, Spawned


class InventoryListener(HookListener):
    """Keeps a list of which servers there are, a file for each."""

    contract = "hooks 1.0"

    def spawned(self, event: Spawned) -> None:
        """Add the server with its name and host."""
        text = f"{event.name} on {event.server_host}\n"
        self._file(event.instance_uuid).write_text(text, encoding="utf-8")

    def deleted(self, event: Deleted) -> None:
        """Take it out; it may never have been in."""
        self._file(event.instance_uuid).unlink(missing_ok=True)

    def _file(self, uuid: str):
        return self.setup.state_dir / f"server-{uuid}"
