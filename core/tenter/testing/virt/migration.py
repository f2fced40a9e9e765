"""Checks of live migration, between two drivers that were constructed for two hosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tenter import errors
from tenter.contracts.virt import (
    GuestRef,
    IncomingRequest,
    MigrateRequest,
    PowerState,
    SpawnRequest,
    SupportsLiveMigration,
)
from tenter.testing.base import needs
from tenter.testing.virt.waiting import refused
from tenter.testing.virt.world import UNKNOWN, New, Start, VirtWorld, must_be_json

_OTHER = "conformance-b"


@dataclass(frozen=True)
class Move:
    """A guest that runs ``here`` and is to go ``there``, and what was ``there`` before."""

    here: Any
    there: Any
    guest: GuestRef
    incoming: IncomingRequest
    before: list[str]


class MigrationChecks(VirtWorld):
    """What must hold of live migration, for a driver that has that power."""

    @pytest.fixture
    def move(self, driver: Any, start: Start, new: New) -> Move:
        """A guest on one host, and another host."""
        there = start(host=_OTHER)
        before = self.leftovers(there)
        request = new()
        guest = self.spawn(driver, request)
        return Move(driver, there, guest, _incoming(request, self.host), before)

    @needs(SupportsLiveMigration)
    def test_live_migration(self, move: Move) -> None:
        """A guest that was migrated runs there, not started anew, and nowhere else; destroy here leaves it alone."""
        destination = move.there.prepare_incoming(move.incoming)
        must_be_json(destination, "what prepare_incoming returned")
        assert self.power(move.here, move.guest.uuid) is PowerState.RUNNING
        move.here.migrate(MigrateRequest(move.guest, destination))
        assert self.listed(move.here).get(move.guest.uuid) is not PowerState.RUNNING, "it still runs on the source"
        self.must_run(move.there, move.guest.uuid, "after migrate, on the destination,")
        handle = move.there.finish_incoming(move.incoming)
        must_be_json(handle, "the handle that finish_incoming returned")
        self.destroy(move.here, move.guest)
        assert move.guest.uuid not in self.listed(move.here)
        self.must_run(move.there, move.guest.uuid, "after destroy on the source")

    @needs(SupportsLiveMigration)
    def test_migrated_guest_is_one_of_that_host(self, move: Move, start: Start) -> None:
        """The guest that arrived is a guest of its new host: listed after a restart, and destroy leaves nothing."""
        self._migrate(move)
        self.destroy(move.here, move.guest)
        again = start(host=_OTHER)
        assert list(self.listed(again)) == [move.guest.uuid]
        self.must_run(again, move.guest.uuid, "after a new start of its new host")
        self.destroy(again, move.guest)
        self.must_be_gone(again, move.guest.uuid, move.before, "after destroy on the destination")

    @needs(SupportsLiveMigration)
    def test_cancelled_incoming_leaves_nothing(self, move: Move) -> None:
        """cancel_incoming removes what was prepared; a second time, or with nothing prepared, it is no error."""
        move.there.prepare_incoming(move.incoming)
        move.there.cancel_incoming(move.guest)
        move.there.cancel_incoming(move.guest)
        move.there.cancel_incoming(GuestRef(UNKNOWN))
        self.must_be_gone(move.there, move.guest.uuid, move.before, "after cancel_incoming")
        self.must_run(move.here, move.guest.uuid, "after cancel_incoming on the destination")

    @needs(SupportsLiveMigration)
    def test_prepare_twice(self, move: Move) -> None:
        """prepare_incoming may be called again, and the guest still arrives."""
        move.there.prepare_incoming(move.incoming)
        self._migrate(move)
        self.must_run(move.there, move.guest.uuid, "after migrate")

    @needs(SupportsLiveMigration)
    def test_prepare_where_the_guest_is(self, move: Move) -> None:
        """prepare_incoming raises Conflict on the host where the guest is, and it runs on."""
        with refused(errors.Conflict):
            move.here.prepare_incoming(move.incoming)
        self.must_run(move.here, move.guest.uuid, "after prepare_incoming was refused")

    @needs(SupportsLiveMigration)
    def test_destination_that_is_gone(self, move: Move) -> None:
        """migrate to a destination that is not ready raises GuestFailed or HypervisorUnavailable, and the guest runs
        here as before."""
        first = self.incarnation(move.here, move.guest.uuid)
        destination = move.there.prepare_incoming(move.incoming)
        move.there.cancel_incoming(move.guest)
        with refused(errors.GuestFailed, errors.HypervisorUnavailable):
            move.here.migrate(MigrateRequest(move.guest, destination))
        self._must_be_as_before(move, first, "after a migration that failed")

    @needs(SupportsLiveMigration)
    def test_cancelled_migration(self, move: Move) -> None:
        """migrate that is cancelled raises StaleAttempt, and the guest runs here as before."""
        first = self.incarnation(move.here, move.guest.uuid)
        destination = move.there.prepare_incoming(move.incoming)
        with refused(errors.StaleAttempt):
            move.here.migrate(MigrateRequest(move.guest, destination, cancelled=lambda: True))
        move.there.cancel_incoming(move.guest)
        self._must_be_as_before(move, first, "after a migration that was cancelled")

    @needs(SupportsLiveMigration)
    def test_finish_without_arrival(self, move: Move) -> None:
        """finish_incoming raises GuestNotFound for a guest that never arrived."""
        with refused(errors.GuestNotFound):
            move.there.finish_incoming(move.incoming)
        move.there.prepare_incoming(move.incoming)
        with refused(errors.GuestNotFound):
            move.there.finish_incoming(move.incoming)
        self.must_run(move.here, move.guest.uuid, "after finish_incoming was refused")

    @needs(SupportsLiveMigration)
    def test_arrived_guest_is_not_cancelled(self, move: Move) -> None:
        """cancel_incoming raises Conflict for a guest that has arrived, which runs on; so does prepare_incoming."""
        self._migrate(move)
        with refused(errors.Conflict):
            move.there.cancel_incoming(move.guest)
        with refused(errors.Conflict):
            move.there.prepare_incoming(move.incoming)
        self.must_run(move.there, move.guest.uuid, "after cancel_incoming was refused")

    @needs(SupportsLiveMigration)
    def test_migration_of_unknown_guest(self, move: Move) -> None:
        """migrate of a guest that never was raises GuestNotFound."""
        destination = move.there.prepare_incoming(move.incoming)
        with refused(errors.GuestNotFound):
            move.here.migrate(MigrateRequest(GuestRef(UNKNOWN), destination))

    def _migrate(self, move: Move) -> None:
        destination = move.there.prepare_incoming(move.incoming)
        move.here.migrate(MigrateRequest(move.guest, destination))
        move.there.finish_incoming(move.incoming)

    def _must_be_as_before(self, move: Move, incarnation: object, when: str) -> None:
        self.must_run(move.here, move.guest.uuid, when)
        assert self.incarnation(move.here, move.guest.uuid) == incarnation, f"{when} it was started anew"
        assert self.listed(move.there) == {}, f"{when} the destination lists it"
        left = sorted(set(self.leftovers(move.there)) - set(move.before))
        assert not left, f"{when} this is left on the destination: {', '.join(left)}"


def _incoming(request: SpawnRequest, source: str) -> IncomingRequest:
    guest = GuestRef(request.uuid)
    return IncomingRequest(guest, request.name, request.hardware, request.network_info, source)
