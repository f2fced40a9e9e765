"""What is done to guests on this host: the virt, network and image drivers brought together."""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from oslo_config import cfg

from tenter import errors, objects
from tenter.compute.async_network import AsyncNetworkInfo
from tenter.contracts.image import DownloadRequest, ImageDriver
from tenter.contracts.network import (
    VIF,
    AllocateRequest,
    FixedIP,
    InstancePorts,
    NetworkDriver,
    NetworkInfo,
    PlugRequest,
    RequestedNetwork,
    Subnet,
)
from tenter.contracts.virt import (
    DestroyRequest,
    GuestRef,
    Hardware,
    ImageSource,
    PowerOffRequest,
    PowerOnRequest,
    PowerState,
    RebootRequest,
    SpawnRequest,
    VirtDriver,
)
from tenter.operations import moments
from tenter.operations.model import LeftBehind
from tenter.plugins.emitter import SILENT, Emitter

LOG = logging.getLogger(__name__)


def vif_to_json(vif: VIF) -> dict[str, Any]:
    """Return a VIF as it is kept with its instance."""
    return dataclasses.asdict(vif)


def vif_from_json(value: Mapping[str, Any]) -> VIF:
    """Return the VIF that an instance keeps."""
    ips = tuple(
        FixedIP(ip["address"], Subnet(**{**ip["subnet"], "dns": tuple(ip["subnet"]["dns"])}), ip["version"])
        for ip in value["fixed_ips"]
    )
    return VIF(**{**value, "fixed_ips": ips})


def hardware(flavor: Mapping[str, Any]) -> Hardware:
    """Return the virtual hardware that a flavor asks for."""
    return Hardware(
        vcpus=flavor["vcpus"],
        memory_mib=flavor["memory_mb"],
        root_gib=flavor["root_gb"],
        ephemeral_gib=flavor["ephemeral_gb"],
        swap_mib=flavor["swap"],
        extra_specs=flavor.get("extra_specs") or {},
    )


class Guests:
    """The host side of operations (:class:`tenter.operations.model.HostSide`)."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        host: str,
        virt: VirtDriver,
        network: NetworkDriver,
        image: ImageDriver,
        wanted: Callable[[str], bool] = lambda uuid: True,
        exists: Callable[[str], bool] = lambda uuid: False,
        hooks: Emitter = SILENT,
    ) -> None:
        """``wanted`` says whether an instance is on this host and not being deleted; ``exists`` whether the cell has
        it: its ports on other hosts are then not this host's to give back."""
        self.host = host
        self._wanted, self._exists, self._hooks = wanted, exists, hooks
        self._conf, self._virt, self._network, self._image = conf, virt, network, image
        self._allocations = ThreadPoolExecutor(conf.compute.workers, thread_name_prefix="network")

    def close(self) -> None:
        """Give back the threads."""
        self._allocations.shutdown(wait=False, cancel_futures=True)

    def spawn(
        self,
        instance: objects.Instance,
        spec: objects.RequestSpec,
        secrets: Mapping[str, str],
        cancelled: Callable[[], bool],
        keep_network: bool = False,
        replaces: tuple[str, ...] | None = None,
        request_id: str | None = None,
    ) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
        """Make the guest while its network is being allocated.

        Nothing is left if it raises (LeftBehind if something could not be removed); what an allocation makes that goes
        on even then is given back when it ends, unless ``wanted`` says that the instance is being built here again.
        """
        network_info = AsyncNetworkInfo(
            self._allocations, lambda: self._allocate(instance, spec, replaces, request_id),
            self._conf.compute.network_timeout,
        )  # fmt: skip
        try:
            if not self._virt.describe().accepts_unfinished_network:
                network_info.wait()
            handle = self._virt.spawn(self._request(instance, spec, network_info, secrets, cancelled))
            return handle, [vif_to_json(vif) for vif in network_info]
        except Exception as exc:
            network_info.settle(lambda: None if keep_network else self._late(instance))
            if not self._clean_up(instance, keep_network):
                if not isinstance(exc, errors.TenterError):
                    LOG.exception("The build of %s failed", instance.uuid)
                raise LeftBehind(exc) from exc
            raise

    def destroy(self, instance: objects.Instance, keep_network: bool = False, everywhere: bool = False) -> None:
        """Remove the guest, its disks and (unless ``keep_network``) its ports, those on other hosts if ``everywhere``.
        """
        self._virt.destroy(DestroyRequest(self._ref(instance)))
        self._unplug(instance.uuid, None if everywhere or keep_network else self.host, keep_network)

    def remove(self, uuid: str, handle: Mapping[str, Any] | None, vifs: Sequence[Mapping[str, Any]]) -> None:
        """Remove what this host has of an instance that is gone, or is on another host, or on none, by now."""
        self._virt.destroy(DestroyRequest(GuestRef(uuid, handle)))
        for vif in vifs:
            self._network.unplug(PlugRequest(uuid, vif_from_json(vif)))
        self._unplug(uuid, self.host if self._exists(uuid) else None)

    def power_on(self, instance: objects.Instance) -> None:
        """Boot the guest."""
        info = self._network_info(instance)
        self._virt.power_on(PowerOnRequest(self._ref(instance), info, hardware(instance.flavor)))

    def power_off(self, instance: objects.Instance) -> None:
        """Ask the guest to stop, and force it off after the configured time."""
        self._virt.power_off(PowerOffRequest(self._ref(instance), self._conf.compute.shutdown_timeout))

    def reboot(self, instance: objects.Instance, hard: bool) -> None:
        """Restart the guest."""
        self._virt.reboot(
            RebootRequest(
                self._ref(instance), hard, self._network_info(instance), hardware(instance.flavor),
                self._conf.compute.shutdown_timeout,
            )
        )  # fmt: skip

    def power_state(self, instance: objects.Instance) -> PowerState:
        """Return what the hypervisor says; NOSTATE if it knows no such guest."""
        try:
            return self._virt.state(self._ref(instance)).power
        except errors.GuestNotFound:
            return PowerState.NOSTATE

    def _allocate(
        self, instance: objects.Instance, spec: objects.RequestSpec, replaces: tuple[str, ...] | None,
        request_id: str | None,
    ) -> tuple[VIF, ...]:  # fmt: skip
        wanted = tuple(RequestedNetwork(**network) for network in spec.networks)
        vifs = self._network.allocate(
            AllocateRequest(instance.uuid, instance.project_id, self.host, instance.hostname, wanted, replaces)
        )
        for vif in vifs:
            self._network.plug(PlugRequest(instance.uuid, vif))
        moments.network_allocated(self._hooks, instance, request_id, vifs)
        return vifs

    def _unplug(self, uuid: str, host: str | None, keep_network: bool = False) -> None:
        for vif in self._network.vifs(InstancePorts(uuid, host)):
            self._network.unplug(PlugRequest(uuid, vif))
        if not keep_network:
            self._network.deallocate(InstancePorts(uuid, host))

    def _late(self, instance: objects.Instance) -> None:
        """Give back what an allocation made that outlived its build, unless the instance is being built here again."""
        if not self._wanted(instance.uuid):
            LOG.warning("The network of %s was allocated too late; it is given back", instance.uuid)
            self._unplug(instance.uuid, self.host)

    def _clean_up(self, instance: objects.Instance, keep_network: bool) -> bool:
        """Return whether nothing is left."""
        try:
            self.destroy(instance, keep_network)
        except Exception as exc:
            LOG.warning("Not all that a failed build of %s made could be removed: %s", instance.uuid, exc)
            return False
        return True

    def _network_info(self, instance: objects.Instance) -> NetworkInfo:
        vifs = self._network.vifs(InstancePorts(instance.uuid))
        for vif in vifs:
            self._network.plug(PlugRequest(instance.uuid, vif))
        return NetworkInfo(vifs)

    def _ref(self, instance: objects.Instance) -> GuestRef:
        return GuestRef(instance.uuid, instance.handle)

    def _request(
        self,
        instance: objects.Instance,
        spec: objects.RequestSpec,
        network_info: NetworkInfo,
        secrets: Mapping[str, str],
        cancelled: Callable[[], bool],
    ) -> SpawnRequest:
        image = spec.image
        source = ImageSource(
            id=image.id, name=image.name or image.id, disk_format=image.disk_format, size=image.size,
            checksum=image.checksum, open=lambda: self._image.download(DownloadRequest(image.id)),
            min_disk_gib=image.min_disk, properties=image.properties,
        )  # fmt: skip
        return SpawnRequest(
            uuid=instance.uuid, name=instance.display_name, hostname=instance.hostname,
            project_id=instance.project_id, user_id=instance.user_id, hardware=hardware(instance.flavor),
            image=source, network_info=network_info, metadata=instance.metadata,
            user_data=base64.b64decode(spec.user_data) if spec.user_data else None,
            config_drive=instance.config_drive, admin_password=secrets.get("admin_password"),
            keypair_name=spec.key_name, public_key=spec.public_key, availability_zone=instance.availability_zone,
            launch_index=instance.launch_index, cancelled=cancelled,
        )  # fmt: skip
