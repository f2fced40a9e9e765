"""Image driver ``local``: descriptions in a SQLite file, data in files beside it."""

from tenter_plugins.image.local.driver import LocalImages

__all__ = ["LocalImages"]
