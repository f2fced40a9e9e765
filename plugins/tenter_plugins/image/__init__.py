"""Image drivers."""
