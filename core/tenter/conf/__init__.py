"""Configuration: oslo.config options, a module a section. Nothing uses oslo.config's global CONF."""

from tenter.conf.opts import check_values, list_opts, new_conf

__all__ = ["check_values", "list_opts", "new_conf"]
