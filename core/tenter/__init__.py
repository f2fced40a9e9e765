"""Tenter: a small cloud compute fabric controller. Everything that touches the outside world is a plugin."""

__version__ = "0.1.0"
