"""Plugins that look right and are not: each breaks one promise of its contract, and a named check must say so."""
