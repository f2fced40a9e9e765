"""What the author's guides say is done as they say it."""
