"""Virt drivers whose guests are processes, which some of them leave behind."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping
from typing import Any, ClassVar

from tenter.contracts.virt import DestroyRequest, HostSetup, SpawnRequest
from tenter_plugins.virt.fake import FakeDriver


class HasProcesses(FakeDriver):
    """Honest: the fake driver with a daemon, which stays, and a child for each guest.

    All of them are ``cat`` with a pipe from the test, so that none outlives it.
    """

    children: ClassVar[dict[str, subprocess.Popen[bytes]]] = {}

    def init_host(self, setup: HostSetup) -> None:
        super().init_host(setup)
        self._run("daemon", {"STATE": str(self.setup.state_dir)})

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        handle = super().spawn(request)
        self._run(request.uuid, {})
        return handle

    def destroy(self, request: DestroyRequest) -> None:
        super().destroy(request)
        self.end(request.guest.uuid)

    def close(self) -> None:
        self.end("daemon")
        super().close()

    def end(self, name: str) -> None:
        """End a child."""
        if child := self.children.pop(name, None):
            child.kill()
            child.communicate()

    def _run(self, name: str, environment: dict[str, str]) -> None:
        if name not in self.children:
            self.children[name] = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=environment)


class LeavesAChild(HasProcesses):
    """Loses sight of a guest's process, which names no guest."""

    caught_by, words = "destroy_leaves_nothing", "left on the host: process "

    def end(self, name: str) -> None:
        if name == "daemon":
            super().end(name)


class HasOrphans(FakeDriver):
    """Honest: each guest is a process that is nobody's child any more, with the guest's UUID in its environment."""

    pipes: ClassVar[dict[str, tuple[int, int]]] = {}
    """By guest: the pipe's end that keeps it alive, and a descriptor of its process."""

    def spawn(self, request: SpawnRequest) -> Mapping[str, Any]:
        handle = super().spawn(request)
        source, pipe = os.pipe()
        command = ["sh", "-c", "exec 3<&0; cat <&3 >/dev/null 2>&1 & echo $!"]
        begun = subprocess.run(command, stdin=source, env={"GUEST": request.uuid}, capture_output=True, check=True)
        self.pipes[request.uuid] = pipe, os.pidfd_open(int(begun.stdout))
        os.close(source)
        return handle

    def destroy(self, request: DestroyRequest) -> None:
        super().destroy(request)
        if request.guest.uuid in self.pipes:
            pipe, process = self.pipes.pop(request.guest.uuid)
            os.close(pipe)
            select.select([process], [], [])
            os.close(process)


class LeavesAnOrphan(HasOrphans):
    """Ends its guests in name only; the check that fails would not look for what is left but for the end of all."""

    caught_by, words = "runs_when_spawn_returns", "these run on: process "

    def destroy(self, request: DestroyRequest) -> None:
        FakeDriver.destroy(self, request)


class LeavesAnOrphanOfTheSpawn(LeavesAnOrphan):
    """The same, seen by what is left after destroy."""

    caught_by, words = "known_without_its_handle", "left on the host: process "
