"""Options of section ``filters``, which the shipped filters share. Names and defaults are those of Nova's
``[filter_scheduler]`` where it has one of the same meaning."""

from oslo_config import cfg

SECTION = "filters"

MAX_IO_OPS = cfg.IntOpt(
    "max_io_ops_per_host", default=8, min=1,
    help="Hosts with this many instances that are being built, resized, copied, migrated, rescued or unshelved, or "
         "more, take no further one (IoOpsFilter, and AggregateIoOpsFilter where no aggregate says otherwise).",
)  # fmt: skip
MAX_INSTANCES = cfg.IntOpt(
    "max_instances_per_host", default=50, min=1,
    help="Hosts with this many instances or more take no further one (NumInstancesFilter, and "
         "AggregateNumInstancesFilter where no aggregate says otherwise).",
)  # fmt: skip
ISOLATION = (
    cfg.ListOpt("isolated_hosts", default=[], help="Names of the hosts that isolated images run on "
                "(IsolatedHostsFilter)."),
    cfg.ListOpt("isolated_images", default=[], help="UUIDs of the images that run on isolated hosts only "
                "(IsolatedHostsFilter)."),
    cfg.BoolOpt("restrict_isolated_hosts_to_isolated_images", default=True,
                help="Whether isolated hosts take nothing but instances of isolated images (IsolatedHostsFilter)."),
)  # fmt: skip
DEFAULT_ARCHITECTURE = cfg.StrOpt(
    "image_properties_default_architecture",
    help="The architecture, such as x86_64, of images that do not say theirs as hw_architecture "
         "(ImagePropertiesFilter); by default these run on any.",
)  # fmt: skip
IMAGE_ISOLATION = (
    cfg.StrOpt("aggregate_image_properties_isolation_namespace",
               help="Only metadata of aggregates whose keys begin with this and the separator is compared with the "
                    "properties of images (AggregateImagePropertiesIsolation); by default all is."),
    cfg.StrOpt("aggregate_image_properties_isolation_separator", default=".",
               help="What stands between the namespace and the rest of a key (AggregateImagePropertiesIsolation)."),
)  # fmt: skip


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by section (entry point ``oslo.config.opts``)."""
    return [(SECTION, [MAX_IO_OPS, MAX_INSTANCES, *ISOLATION, DEFAULT_ARCHITECTURE, *IMAGE_ISOLATION])]
