"""What things are: versioned objects that are stored or cross a wire."""

from tenter.objects.action import InstanceAction, InstanceActionEvent
from tenter.objects.base import TenterObject
from tenter.objects.block_device import BlockDevice
from tenter.objects.flavor import Flavor
from tenter.objects.host import ComputeNode, Service
from tenter.objects.image import ImageMeta
from tenter.objects.instance import Instance
from tenter.objects.keypair import KeyPair
from tenter.objects.network import VIF, FixedIP, NetworkInfo, Subnet
from tenter.objects.request_spec import RequestSpec

__all__ = [
    "VIF",
    "BlockDevice",
    "ComputeNode",
    "FixedIP",
    "Flavor",
    "ImageMeta",
    "Instance",
    "InstanceAction",
    "InstanceActionEvent",
    "KeyPair",
    "NetworkInfo",
    "RequestSpec",
    "Service",
    "Subnet",
    "TenterObject",
]
