"""Section scheduler: where an instance goes."""

from oslo_config import cfg

OPTS = [
    cfg.ListOpt("filters", default=[
                    "ComputeFilter", "AvailabilityZoneFilter", "ResourceFilter", "TraitFilter",
                    "ComputeCapabilitiesFilter", "ImagePropertiesFilter", "ServerGroupAntiAffinityFilter",
                    "ServerGroupAffinityFilter", "SameHostFilter", "DifferentHostFilter", "NUMATopologyFilter",
                    "PciPassthroughFilter", "ResourceGroupsFilter"],
                help="Filters in order (entry point group tenter.scheduler.filters)."),
    cfg.ListOpt("weighers",
                default=["CPUWeigher", "RAMWeigher", "DiskWeigher", "IoOpsWeigher", "NumInstancesWeigher",
                         "HypervisorVersionWeigher", "PCIWeigher", "MetricsWeigher", "ServerGroupSoftAffinityWeigher",
                         "ServerGroupSoftAntiAffinityWeigher", "ImagePropertiesWeigher", "CrossCellWeigher",
                         "BuildFailureWeigher"],
                help="Weighers (entry point group tenter.scheduler.weighers). One whose multiplier is 0 is not asked."),
    cfg.MultiStrOpt("extra_filters", default=[],
                    help="Filters beyond those of filters, after them. May stand in any number of files, which add up: "
                         "a drop-in of two lines enables one more."),
    cfg.MultiStrOpt("extra_weighers", default=[], help="The same for weighers."),
    cfg.IntOpt("host_subset_size", default=1, min=1,
               help="A server goes to one of that many of the best hosts, taken at random: with more than 1, decisions "
                    "that are made at once meet less often."),
    cfg.FloatOpt("filter_budget", default=5.0, min=0.01, max=3600,
                 help="Seconds that one filter or weigher may take for one decision. A filter that takes longer counts "
                      "as misbehaving; a plugin that does not come back at all is not asked for a minute, unless all "
                      "that are enabled say that they are prompt: then nothing guards against it."),
    cfg.StrOpt("misbehaving_filters", default="closed", choices=["closed", "skipped"],
               help="What becomes of hosts that a filter which fails or takes too long has not judged: closed refuses "
                    "them, skipped lets them pass. Either way the explanation of the decision names the filter."),
    cfg.FloatOpt("decision_retention", default=7 * 86400.0, min=0,
                 help="Seconds for which decisions are kept, for 'tenter explain', 'tenter replay' and the API; with 0 "
                      "none is recorded."),
]  # fmt: skip
