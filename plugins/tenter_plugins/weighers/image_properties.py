"""A weigher that puts like images together, or apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tenter.contracts.base import PluginSetup
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import HostTable
from tenter_plugins.weighers.base import OptionWeigher, nothing
from tenter_plugins.weighers.options import IMAGE_PROPERTIES, ratios

if TYPE_CHECKING:
    from tenter.contracts.table import FloatArray, IntArray


class ImagePropertiesWeigher(OptionWeigher):
    """Counts, over the instances of each host, the image properties that have the value which they have in the
    server's image. A positive multiplier packs like images, a negative one spreads them."""

    options = IMAGE_PROPERTIES
    needs = frozenset({"images"})

    def __init__(self, setup: PluginSetup) -> None:
        super().__init__(setup)
        self._ratios = ratios(self.option("image_props_weight_setting"))

    def weights(self, table: HostTable, request: PlacementRequest) -> FloatArray | IntArray:
        """Return each host's sum."""
        if table.images is None or not request.image_properties:
            return nothing(table)
        return table.images.sums(lambda properties: self._likeness(properties, request.image_properties), len(table))

    def _likeness(self, properties: Mapping[str, str], wanted: Mapping[str, str]) -> float:
        alike = (name for name, value in properties.items() if wanted.get(name) == value)
        return sum(self._ratios.get(name, 0.0) if self._ratios else 1.0 for name in alike)
