"""The process on a host that carries out steps."""
