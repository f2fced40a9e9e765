"""Notifiers: where events are sent to."""
