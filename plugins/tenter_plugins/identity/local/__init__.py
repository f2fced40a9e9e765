"""Identity driver ``local``: users, projects and roles in a SQLite file, tokens that carry their own
proof."""

from tenter_plugins.identity.local.driver import LocalIdentity

__all__ = ["LocalIdentity"]
