"""Tables of the API database: what belongs to no cell."""

from __future__ import annotations

import sqlalchemy as sa

from tenter.store.columns import Json, blob_column, operations_table, services_table, time_column, uuid_column

metadata = sa.MetaData()

cells = sa.Table(
    "cells",
    metadata,
    uuid_column("uuid", primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("database_url", sa.Text, nullable=True),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
    time_column("created_at", nullable=False),
)

places = sa.Table(
    # Where an instance is: one row that changes only by compare-and-swap. While state is "unscheduled" or "failed" the
    # instance belongs to no cell and ``record`` is all there is of it.
    "places",
    metadata,
    uuid_column("instance_uuid", primary_key=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    uuid_column("cell_uuid", nullable=True),
    time_column("created_at", nullable=False),
    # What the instance uses of its project's quotas (beside one instance); whoever removes the row gives it back.
    sa.Column("vcpus", sa.Integer, nullable=False, default=0),
    sa.Column("memory_mb", sa.Integer, nullable=False, default=0),
    sa.Column("record", Json, nullable=True),
    # Flavor, image and zone asked for: what is shown of the instance while its cell does not answer.
    sa.Column("brief", Json, nullable=True),
    # When its delete was accepted while its cell did not answer; from then on it is shown as going.
    time_column("delete_wanted", nullable=True),
    sa.Index("places_state", "state", "project_id", "created_at"),
)

flavors = sa.Table(
    "flavors",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("flavorid", sa.String(255), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("vcpus", sa.Integer, nullable=False),
    sa.Column("memory_mb", sa.Integer, nullable=False),
    sa.Column("root_gb", sa.Integer, nullable=False),
    sa.Column("ephemeral_gb", sa.Integer, nullable=False, default=0),
    sa.Column("swap", sa.Integer, nullable=False, default=0),
    sa.Column("rxtx_factor", sa.Double, nullable=False, default=1.0),
    sa.Column("is_public", sa.Boolean, nullable=False, default=True),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
    sa.Column("description", sa.Text, nullable=True),
    sa.Column("extra_specs", Json, nullable=False),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=True),
)

flavor_projects = sa.Table(
    "flavor_projects",
    metadata,
    sa.Column("flavor_id", sa.ForeignKey("flavors.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("project_id", sa.String(64), primary_key=True),
)

keypairs = sa.Table(
    "keypairs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(255), nullable=False),
    time_column("created_at", nullable=False),
    sa.UniqueConstraint("user_id", "name"),
)

quota_limits = sa.Table(
    # What was set by an administrator, for a project or for a quota class; what is not here is an option.
    "quota_limits",
    metadata,
    sa.Column("owner_kind", sa.String(16), primary_key=True),
    sa.Column("owner", sa.String(255), primary_key=True),
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("hard_limit", sa.Integer, nullable=False),
)

quota_usages = sa.Table(
    # What a project (of its places) or a user (of key pairs) has: changed only together with what is counted.
    "quota_usages",
    metadata,
    sa.Column("owner_kind", sa.String(16), primary_key=True),
    sa.Column("owner", sa.String(64), primary_key=True),
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False, default=0),
)

aggregates = sa.Table(
    "aggregates",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    uuid_column("uuid", nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    # The key availability_zone puts the aggregate's hosts into a zone.
    sa.Column("metadata", Json, nullable=False),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=True),
    sqlite_autoincrement=True,
)

aggregate_hosts = sa.Table(
    "aggregate_hosts",
    metadata,
    sa.Column("aggregate_id", sa.ForeignKey("aggregates.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("host", sa.String(255), primary_key=True),
)

server_groups = sa.Table(
    "server_groups",
    metadata,
    uuid_column("uuid", primary_key=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("policy", sa.String(32), nullable=False),
    # Of anti-affinity: how many members may be on one host. NULL if it was not said, which means 1.
    sa.Column("max_per_host", sa.Integer, nullable=True),
    time_column("created_at", nullable=False),
    sa.Index("server_groups_project", "project_id", "created_at", "uuid"),
)

server_group_members = sa.Table(
    # An instance is in at most one group, from its create on until its place is removed. ``host`` is its claim on a
    # host in the group's name: written only while the group's row is locked, and only if the group's policy allows it.
    "server_group_members",
    metadata,
    uuid_column("instance_uuid", primary_key=True),
    sa.Column("group_uuid", sa.ForeignKey("server_groups.uuid", ondelete="CASCADE"), nullable=False),
    sa.Column("host", sa.String(255), nullable=True),
    time_column("created_at", nullable=False),
    sa.Index("server_group_members_group", "group_uuid", "host"),
)

counters = sa.Table(
    # How often something was changed, so that who keeps a copy sees with one query whether it is still good.
    "counters",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)

decisions = sa.Table(
    # What the scheduler decided and why, until retention ends: one row for each time it was asked for an operation.
    "decisions",
    metadata,
    uuid_column("uuid", primary_key=True),
    uuid_column("operation_uuid", nullable=False),
    uuid_column("instance_uuid", nullable=False),
    sa.Column("project_id", sa.String(64), nullable=False),
    time_column("made_at", nullable=False),
    # The recorded host table that it is written as a difference to.
    uuid_column("snapshot_uuid", nullable=True),
    blob_column("body", nullable=False),
    sa.Index("decisions_instance", "instance_uuid", "made_at"),
    sa.Index("decisions_operation", "operation_uuid", "made_at"),
    sa.Index("decisions_made", "made_at"),
    sa.Index("decisions_snapshot", "snapshot_uuid"),
)

host_snapshots = sa.Table(
    # The host table as it was, for decisions to refer to.
    "host_snapshots",
    metadata,
    uuid_column("uuid", primary_key=True),
    time_column("made_at", nullable=False),
    blob_column("body", nullable=False),
)

audits = sa.Table(
    # One row: what audits have come to.
    "audits",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    time_column("ended_at", nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("found", Json, nullable=False),
    sa.Column("repaired", Json, nullable=False),
)

operations = operations_table(metadata)

services = services_table(metadata)
