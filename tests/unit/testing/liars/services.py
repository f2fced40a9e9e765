"""Network, image and identity drivers that lie: the shipped ones, each with one promise broken."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from tenter import errors
from tenter.contracts.base import Capability, Description
from tenter.contracts.identity import Identity, ValidateRequest
from tenter.contracts.image import DownloadRequest, Image, ImageQuery, ShowRequest, UploadRequest
from tenter.contracts.network import (
    VIF,
    AllocateRequest,
    CheckRequest,
    HostNetwork,
    InitHostRequest,
    InstancePorts,
    PlugRequest,
    RequestedNetwork,
)
from tenter_plugins.identity.local import LocalIdentity
from tenter_plugins.image.local import LocalImages
from tenter_plugins.network.local.driver import LocalNetwork


class Network(LocalNetwork):
    """The honest one."""

    contract = "network 1.0"


class Anew(Network):
    """Allocates anew each time it is asked."""

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        self.deallocate(InstancePorts(request.instance_uuid))
        return super().allocate(request)


class HalfMade(Network):
    """Allocates one network after the other, and leaves those that it has when one fails."""

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        for count in range(1, len(request.networks) + 1):
            part = dataclasses.replace(request, networks=request.networks[:count])
            try:
                whole = Network.allocate(self, part)
            except errors.TenterError:
                if count > 1:
                    Network.allocate(self, dataclasses.replace(request, networks=request.networks[: count - 1]))
                raise
            if count < len(request.networks):
                self.deallocate(InstancePorts(request.instance_uuid))
        return whole


class Sweeping(Network):
    """Takes from every host what one host gives back."""

    def deallocate(self, ports: InstancePorts) -> None:
        super().deallocate(InstancePorts(ports.instance_uuid))


class Grabbing(Network):
    """Takes over from any host, named or not."""

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        return super().allocate(dataclasses.replace(request, replaces=None))


class Forgetful(Network):
    """Knows only what its own process allocated."""

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        self._mine: set[str] = set()

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        self._mine.add(request.instance_uuid)
        return super().allocate(request)

    def vifs(self, ports: InstancePorts) -> tuple[VIF, ...]:
        return super().vifs(ports) if ports.instance_uuid in self._mine else ()


class Careless(Network):
    """Has an error of its own for a network that it does not know."""

    def check(self, request: CheckRequest) -> tuple[RequestedNetwork, ...]:
        try:
            return super().check(request)
        except errors.Invalid as exc:
            raise KeyError(exc.message) from exc


class Modest(Network):
    """Has a power and does not say so."""

    def describe(self) -> Description:
        found = super().describe()
        return Description(found.name, {key: on for key, on in found.capabilities.items() if key != "network_api"})


class Boastful(Network):
    """Says that it has a power that is none of its bases."""

    def describe(self) -> Description:
        found = super().describe()
        return Description(found.name, {**found.capabilities, "image_api": Capability(True)})


class Once(Network):
    """Can be plugged once."""

    plugged: frozenset[str] = frozenset()

    def plug(self, request: PlugRequest) -> None:
        if request.vif.id in self.plugged:
            raise errors.NetworkFailed("The device exists already.")
        self.plugged |= {request.vif.id}


class Shuffled(Network):
    """Answers in an order of its own."""

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        return tuple(sorted(super().allocate(request), key=lambda vif: vif.network_id))


class Racing(Network):
    """Looks first and allocates later, without a lock."""

    def allocate(self, request: AllocateRequest) -> tuple[VIF, ...]:
        seen = self.vifs(InstancePorts(request.instance_uuid))
        if seen:
            return seen
        threading.Event().wait(0.05)
        made = f"{request.instance_uuid}-{threading.get_ident()}"
        return super().allocate(dataclasses.replace(request, instance_uuid=made))


class Reckless(Network):
    """Tears down what is in use."""

    def teardown(self) -> list[str]:
        return []


class NewHost(Network):
    """Makes its wiring anew at each start."""

    starts = itertools.count()

    def init_host(self, request: InitHostRequest) -> HostNetwork:
        return HostNetwork("none", f"tenter-{next(self.starts)}")


class Images(LocalImages):
    """The honest one."""

    contract = "image 1.0"


class Public(Images):
    """Shows everything to everybody."""

    def show(self, request: ShowRequest) -> Image:
        return super().show(ShowRequest(request.image_id))


class Short(Images):
    """Loses the last chunk."""

    def download(self, request: DownloadRequest) -> Iterator[bytes]:
        chunks = list(super().download(request))
        return iter(chunks[:-1])


class Shared(Images):
    """Gives all who read one image the same iterator."""

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        self._open: dict[str, Iterator[bytes]] = {}

    def download(self, request: DownloadRequest) -> Iterator[bytes]:
        return self._open.setdefault(request.image_id, super().download(request))


class Hasty(Images):
    """Takes what came for the whole."""

    def upload(self, request: UploadRequest) -> Image:
        def so_far() -> Iterator[bytes]:
            try:
                yield from request.chunks
            except errors.TenterError:
                return

        return super().upload(UploadRequest(request.image_id, so_far()))


class Unguarded(Images):
    """Deletes what is protected."""

    def delete(self, image_id: str) -> None:
        super().update(image_id, {"protected": False})
        super().delete(image_id)


class Nosy(Images):
    """Lists every project's images."""

    def list(self, query: ImageQuery) -> Sequence[Image]:
        return super().list(dataclasses.replace(query, project_id=None))


class Directory(LocalIdentity):
    """The honest one."""

    contract = "identity 1.0"


class Lenient(Directory):
    """Reads a token as far as it needs to."""

    def validate(self, request: ValidateRequest) -> Identity:
        return super().validate(ValidateRequest(request.token.strip()))


class Timeless(Directory):
    """Never looks at the clock again."""

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        self._seen: dict[str, Identity] = {}

    def validate(self, request: ValidateRequest) -> Identity:
        if request.token not in self._seen:
            self._seen[request.token] = super().validate(request)
        return self._seen[request.token]


class Talkative(Directory):
    """Says which token it refuses."""

    def validate(self, request: ValidateRequest) -> Identity:
        try:
            return super().validate(request)
        except errors.Unauthorized as exc:
            raise errors.Unauthorized(f"{exc.message} {request.token}") from exc


class Volatile(Directory):
    """Keeps revocations in memory."""

    def __init__(self, setup: Any) -> None:
        super().__init__(setup)
        self._revoked: set[str] = set()

    def revoke(self, token: str) -> None:
        self.validate(ValidateRequest(token))
        self._revoked.add(token)

    def validate(self, request: ValidateRequest) -> Identity:
        if request.token in self._revoked:
            raise errors.Unauthorized("The token was revoked.")
        return super().validate(request)


class Helpful(Directory):
    """Says what of the credentials was wrong."""

    def authenticate(self, request: Any) -> Any:
        if request.user_name == "nobody":
            raise errors.Unauthorized("There is no such user.")
        return super().authenticate(request)


class Crashing(Directory):
    """Fails at a token that is none."""

    def validate(self, request: ValidateRequest) -> Identity:
        request.token.encode("ascii")
        return super().validate(request)


