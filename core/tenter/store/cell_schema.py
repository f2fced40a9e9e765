"""Tables of a cell database: hosts, instances, what holds which resources, and what is being done."""

from __future__ import annotations

import sqlalchemy as sa

from tenter.contracts.scheduling import MAX_UNIT
from tenter.store.columns import Json, operations_table, services_table, time_column, uuid_column

metadata = sa.MetaData()

services = services_table(metadata, sa.UniqueConstraint("host", "binary"))

compute_nodes = sa.Table(
    "compute_nodes",
    metadata,
    uuid_column("uuid", primary_key=True),
    uuid_column("service_uuid", nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("hypervisor_hostname", sa.String(255), nullable=False),
    sa.Column("hypervisor_type", sa.String(64), nullable=False),
    sa.Column("hypervisor_version", sa.Integer, nullable=False),
    sa.Column("host_ip", sa.String(64), nullable=False),
    sa.Column("availability_zone", sa.String(255), nullable=False),
    sa.Column("cpu_info", Json, nullable=False),
    sa.Column("traits", Json, nullable=False),
    sa.Column("failed_builds", sa.Integer, nullable=False, default=0),
    # What its driver measured last, by name.
    sa.Column("metrics", Json, nullable=True),
    # What its compute found that does not fit the last time it compared its guests with what is recorded.
    sa.Column("findings", Json, nullable=True),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=True),
    sa.Index("compute_nodes_host", "host"),
)

providers = sa.Table(
    # Parts of nodes that have resources of their own (NUMA nodes, PCI devices); a node is a provider itself.
    "providers",
    metadata,
    uuid_column("uuid", primary_key=True),
    uuid_column("node_uuid", nullable=False),
    uuid_column("parent_uuid", nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("traits", Json, nullable=False),
    sa.Index("providers_node", "node_uuid"),
)

host_changes = sa.Table(
    # A row for each change of what the scheduler knows of a node, written in the transaction that changes it. Who keeps
    # a copy reads what came since it looked last; rows are removed after a while, and then a copy is made anew.
    "host_changes",
    metadata,
    sa.Column("seq", sa.Integer().with_variant(sa.BigInteger(), "postgresql", "mysql", "mariadb"), primary_key=True,
              autoincrement=True),
    uuid_column("node_uuid", nullable=False),
    time_column("at", nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip

inventories = sa.Table(
    "inventories",
    metadata,
    uuid_column("provider_uuid", primary_key=True),
    sa.Column("resource_class", sa.String(255), primary_key=True),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False, default=0),
    sa.Column("ratio", sa.Double, nullable=False, default=1.0),
    sa.Column("capacity", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False, default=0),
    sa.Column("step_size", sa.BigInteger, nullable=False, default=1),
    sa.Column("min_unit", sa.BigInteger, nullable=False, default=1),
    sa.Column("max_unit", sa.BigInteger, nullable=False, default=MAX_UNIT),
)

claims = sa.Table(
    "claims",
    metadata,
    uuid_column("holder_uuid", primary_key=True),
    uuid_column("provider_uuid", primary_key=True),
    sa.Column("resource_class", sa.String(255), primary_key=True),
    sa.Column("holder_kind", sa.String(16), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    time_column("taken_at", nullable=True),
    sa.Index("claims_provider", "provider_uuid"),
)

instances = sa.Table(
    "instances",
    metadata,
    uuid_column("uuid", primary_key=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("display_name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(255), nullable=True),
    sa.Column("hostname", sa.String(255), nullable=False),
    sa.Column("reservation_id", sa.String(64), nullable=False),
    sa.Column("launch_index", sa.Integer, nullable=False, default=0),
    sa.Column("vm_state", sa.String(32), nullable=False),
    sa.Column("task_state", sa.String(32), nullable=True),
    sa.Column("power_state", sa.Integer, nullable=False, default=0),
    sa.Column("progress", sa.Integer, nullable=False, default=0),
    uuid_column("operation_uuid", nullable=True),
    sa.Column("host", sa.String(255), nullable=True),
    sa.Column("node", sa.String(255), nullable=True),
    uuid_column("node_uuid", nullable=True),
    sa.Column("availability_zone", sa.String(255), nullable=True),
    sa.Column("pinned_zone", sa.String(255), nullable=True),
    sa.Column("image_ref", sa.String(64), nullable=True),
    sa.Column("image", Json, nullable=True),
    sa.Column("flavor", Json, nullable=False),
    sa.Column("key_name", sa.String(255), nullable=True),
    sa.Column("access_ip_v4", sa.String(64), nullable=True),
    sa.Column("access_ip_v6", sa.String(64), nullable=True),
    sa.Column("config_drive", sa.Boolean, nullable=False, default=True),
    sa.Column("disk_config", sa.String(16), nullable=False, default="MANUAL"),
    sa.Column("locked", sa.Boolean, nullable=False, default=False),
    sa.Column("root_device_name", sa.String(64), nullable=True),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("hints", Json, nullable=False),
    sa.Column("security_groups", Json, nullable=False),
    sa.Column("network_info", Json, nullable=False),
    sa.Column("fault", Json, nullable=True),
    sa.Column("handle", Json, nullable=True),
    sa.Column("spec", Json, nullable=False),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    time_column("launched_at", nullable=True),
    time_column("terminated_at", nullable=True),
    sa.Index("instances_project", "project_id", "created_at", "uuid"),
    sa.Index("instances_created", "created_at", "uuid"),
    sa.Index("instances_host", "host"),
    # With the state, so that instances and io ops are counted in the index alone.
    sa.Index("instances_node", "node_uuid", "task_state"),
)

leftovers = sa.Table(
    # What may still be on a host that was away when an instance went, or was built elsewhere. What it uses there stays
    # claimed in its name, until the host's compute has removed it.
    "leftovers",
    metadata,
    uuid_column("uuid", primary_key=True),
    uuid_column("instance_uuid", nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    uuid_column("node_uuid", nullable=False),
    sa.Column("handle", Json, nullable=True),
    sa.Column("vifs", Json, nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    # Why the host could not remove it so far; NULL unless it has tried.
    sa.Column("trouble", sa.Text, nullable=True),
    time_column("created_at", nullable=False),
    sa.Index("leftovers_node", "node_uuid", "instance_uuid"),
)

operations = operations_table(metadata)
