"""Section quota: what a project may have where neither it nor the quota class "default" has a limit of its own."""

from oslo_config import cfg

_SHARED = (
    "-1 is no limit, and the default: what the hosts have is a limit already, and whoever has a cloud to himself "
    "should not meet another. Set it where projects share a cloud; OpenStack's usual value is {usual}."
)


def _limit(name: str, default: int, text: str) -> cfg.IntOpt:
    return cfg.IntOpt(name, default=default, min=-1, max=0x7FFFFFFF, help=text)


OPTS = [
    _limit("instances", -1, "Servers of a project. " + _SHARED.format(usual=10)),
    _limit("cores", -1, "Virtual CPUs of a project. " + _SHARED.format(usual=20)),
    _limit("ram", -1, "Memory of a project in MiB. " + _SHARED.format(usual=51200)),
    _limit("metadata_items", 128, "Metadata items of one server; -1 is no limit."),
    _limit("key_pairs", 100, "Key pairs of one user; -1 is no limit."),
    _limit("server_groups", 10, "Server groups of a project; -1 is no limit."),
    _limit("server_group_members", 10, "Servers in one server group; -1 is no limit."),
]
