"""Section scheduler: where an instance goes."""

from oslo_config import cfg

OPTS = [
    cfg.ListOpt("filters", default=["ComputeFilter", "AvailabilityZoneFilter", "ResourceFilter"],
                help="Filters in order (entry point group tenter.scheduler.filters)."),
    cfg.ListOpt("weighers", default=["CPUWeigher", "RAMWeigher", "DiskWeigher", "BuildFailureWeigher"],
                help="Weighers (entry point group tenter.scheduler.weighers)."),
    cfg.MultiStrOpt("extra_filters", default=[],
                    help="Filters beyond those of filters, after them. May stand in any number of files, which add up: "
                         "a drop-in of two lines enables one more."),
    cfg.MultiStrOpt("extra_weighers", default=[], help="The same for weighers."),
    cfg.IntOpt("alternates", default=2, min=0, help="Hosts kept as alternates beside the one chosen."),
]  # fmt: skip
