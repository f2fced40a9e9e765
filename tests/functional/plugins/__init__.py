"""Plugins of other distributions, through the command line."""
