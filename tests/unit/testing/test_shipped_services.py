"""The shipped image and identity drivers hold what the kits ask."""

from __future__ import annotations

from tenter.testing import IdentityConformance, ImageConformance
from tenter_plugins.identity.local import LocalIdentity
from tenter_plugins.image.local import LocalImages


class TestLocalImages(ImageConformance):
    plugin = LocalImages
    name = "local"


class TestLocalIdentity(IdentityConformance):
    plugin = LocalIdentity
    name = "local"
    short_lived = {"token_lifetime": 2}
