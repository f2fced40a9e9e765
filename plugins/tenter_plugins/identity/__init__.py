"""Identity drivers."""
