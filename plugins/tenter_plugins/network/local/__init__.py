"""The ``local`` network driver: networks of one host, kept in a small database of its own."""
