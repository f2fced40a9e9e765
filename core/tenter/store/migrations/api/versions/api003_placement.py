"""Aggregates, server groups, and what the scheduler decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tenter.store.columns import Json, blob_column

revision = "api003"
down_revision = "api002"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "aggregates",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("metadata", Json(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uuid"),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "aggregate_hosts",
        sa.Column("aggregate_id", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["aggregate_id"], ["aggregates.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("aggregate_id", "host"),
    )
    _server_groups()
    _decisions()
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("services_last_seen", "services", ["last_seen"], unique=False)


def _server_groups() -> None:
    op.create_table(
        "server_groups",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("policy", sa.String(length=32), nullable=False),
        sa.Column("max_per_host", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index("server_groups_project", "server_groups", ["project_id", "created_at", "uuid"], unique=False)
    op.create_table(
        "server_group_members",
        sa.Column("instance_uuid", sa.String(length=36), nullable=False),
        sa.Column("group_uuid", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["group_uuid"], ["server_groups.uuid"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("instance_uuid"),
    )
    op.create_index("server_group_members_group", "server_group_members", ["group_uuid", "host"], unique=False)


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("operation_uuid", sa.String(length=36), nullable=False),
        sa.Column("instance_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("snapshot_uuid", sa.String(length=36), nullable=True),
        blob_column("body", nullable=False),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index("decisions_instance", "decisions", ["instance_uuid", "made_at"], unique=False)
    op.create_index("decisions_operation", "decisions", ["operation_uuid", "made_at"], unique=False)
    op.create_index("decisions_made", "decisions", ["made_at"], unique=False)
    op.create_index("decisions_snapshot", "decisions", ["snapshot_uuid"], unique=False)
    op.create_table(
        "host_snapshots",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        blob_column("body", nullable=False),
        sa.PrimaryKeyConstraint("uuid"),
    )
