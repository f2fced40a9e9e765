"""ImagePropertiesFilter: only hosts that can run what the image is made for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from oslo_utils import versionutils

from tenter.contracts.base import PluginSetup
from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import Hypervisor, PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, Coded, HostTable, Verdicts
from tenter_plugins.filters.attributes import fact
from tenter_plugins.filters.options import DEFAULT_ARCHITECTURE, SECTION

_ALIASES = {
    "hw_architecture": {
        "i386": "i686", "i486": "i686", "i586": "i686", "x86_32": "i686", "x86_32p": "i686", "amd64": "x86_64",
    },
    "img_hv_type": {"xapi": "xen"},
    "hw_vm_mode": {"pv": "xen", "hv": "hvm", "baremetal": "hvm"},
}  # fmt: skip
"""What else values are called, all in small letters."""

_FORMER = {"hw_architecture": "architecture", "img_hv_type": "hypervisor_type", "hw_vm_mode": "vm_mode",
           "img_hv_requested_version": "hypervisor_version_requires"}  # fmt: skip
_RUNS_TOO = {"x86_64": ("i686",), "aarch64": ("armv7l",), "ppc64": ("ppc",), "ppc64le": ("ppc64",)}
"""Architectures whose guests a host of another can run."""

_MODES = {"lxc": ("exe",), "docker": ("exe",), "openvz": ("exe",), "uml": ("uml",), "xen": ("xen", "hvm")}
_WHOLE = re.compile(r"(?<![\d.])\d{4,}(?![\d.])")


class ImagePropertiesFilter(MaskFilter):
    """Compares properties of the image with what a host's hypervisor runs: ``hw_architecture``, ``img_hv_type``
    (``qemu`` stands for KVM too), ``hw_vm_mode``, ``img_hv_requested_version`` (``>=6.0, <7``; ``>=6000`` is the same
    as ``>=6.0``); and their former names ``architecture``, ``hypervisor_type``, ``vm_mode``,
    ``hypervisor_version_requires``. All must hold of one kind of guest.

    A driver may report the kinds as ``supported_instances``, a list of ``[architecture, type, mode]``, among its
    capabilities. Else they follow from the hypervisor's type and the processor's architecture. Option:
    ``image_properties_default_architecture``. Codes: ``image_property.unsupported`` (``asked``, ``host``),
    ``hypervisor.version`` (``asked``, ``host``), ``image_property.malformed``. Source: Nova, admin/scheduling,
    ImagePropertiesFilter.
    """

    contract = "filter 1.0"
    prompt = True
    section = SECTION
    options = (DEFAULT_ARCHITECTURE,)

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._known: tuple[Sequence[Hypervisor], list[list[tuple[str, ...]]]] = ((), [])
        self._default = setup.conf[SECTION].image_properties_default_architecture

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that do not run such guests."""
        properties = request.image_properties
        if not properties and not self._default:
            return ACCEPT_ALL
        asked = {name: text for name in _ALIASES if (text := _property(properties, name))}
        if self._default:
            asked.setdefault("hw_architecture", self._default)
        if not asked:
            return ACCEPT_ALL  # the version alone decides nothing, as for Nova
        wanted = {place: _canonical(name, asked[name]) for place, name in enumerate(_ALIASES) if name in asked}
        guests = self._guests_of(table.hypervisor.values)
        runs = Coded(table.hypervisor.codes, guests)
        ok = runs.where(lambda kinds: any(_is(kind, wanted) for kind in kinds))
        host = Coded(runs.codes, [[list(kind) for kind in kinds] for kinds in guests])
        verdicts = ACCEPT_ALL.also(ok, "image_property.unsupported", asked=asked, host=host)
        version = _property(properties, "img_hv_requested_version")
        if not version:
            return verdicts
        try:
            satisfied = _predicate(version)
        except ValueError as exc:
            return verdicts.also(table.every(False), "image_property.malformed", asked=version, error=str(exc))
        versions = Coded(table.hypervisor.codes, [each.version for each in table.hypervisor.values])
        return verdicts.also(versions.where(satisfied), "hypervisor.version", asked=version, host=versions)

    def _guests_of(self, hypervisors: Sequence[Hypervisor]) -> list[list[tuple[str, ...]]]:
        """Return what each hypervisor runs; the values of a column are the same objects in table after table."""
        known, guests = self._known
        if known is not hypervisors or len(guests) != len(hypervisors):
            guests = [list(supported(each)) for each in hypervisors]
            self._known = hypervisors, guests
        return guests


def _is(kind: Sequence[str], wanted: Mapping[int, str]) -> bool:
    """Return whether a kind of guest, which may be told in part, has what is wanted at its places."""
    return all(place < len(kind) and kind[place] == text for place, text in wanted.items())


def supported(hypervisor: Hypervisor) -> Iterator[tuple[str, ...]]:
    """Yield architecture, hypervisor type and mode of each kind of guest that a hypervisor runs, as canonical names."""
    reported = fact(hypervisor, ("supported_instances",))
    if isinstance(reported, list):
        for kind in reported:
            if isinstance(kind, (list, tuple)):
                yield tuple(_canonical(name, str(text)) for name, text in zip(_ALIASES, kind))
        return
    arch = _canonical("hw_architecture", str(fact(hypervisor, ("cpu_info", "arch")) or ""))
    kind = _canonical("img_hv_type", hypervisor.type)
    for architecture in (arch, *_RUNS_TOO.get(arch, ())):
        for type_ in ("qemu", "kvm") if kind in ("qemu", "kvm") else (kind,):
            for mode in _MODES.get(kind, ("hvm",)):
                yield architecture, type_, mode


def _canonical(name: str, text: str) -> str:
    lower = text.strip().lower()
    return _ALIASES[name].get(lower, lower)


def _property(properties: Mapping[str, str], name: str) -> str | None:
    return properties.get(name) or properties.get(_FORMER[name])


def _predicate(text: str) -> Callable[[int], bool]:
    """Return what says whether a version, as an integer, is one that the text allows. Raises ValueError."""
    # Nova's guide writes versions as hypervisors count them, its code has them with dots.
    dotted = _WHOLE.sub(lambda found: versionutils.convert_version_to_str(int(found[0])), text)
    predicate = versionutils.VersionPredicate(dotted)
    predicate.satisfied_by("1.0")  # a version that is none is found out only now
    return lambda version: not version or bool(predicate.satisfied_by(versionutils.convert_version_to_str(version)))
