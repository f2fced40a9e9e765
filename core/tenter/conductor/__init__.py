"""The process that drives operations."""
