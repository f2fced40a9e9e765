"""Parts of nodes, units of resources, and a log of what changes for the scheduler."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tenter.store.columns import Json

revision = "cell003"
down_revision = "cell002"


def upgrade() -> None:
    """Add the tables, columns and indexes."""
    op.create_table(
        "providers",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("parent_uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("traits", Json(), nullable=False),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index("providers_node", "providers", ["node_uuid"], unique=False)
    number = sa.Integer().with_variant(sa.BigInteger(), "postgresql", "mysql", "mariadb")
    op.create_table(
        "host_changes",
        sa.Column("seq", number, autoincrement=True, nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    for name, default in (("step_size", "1"), ("min_unit", "1"), ("max_unit", "2147483647")):
        op.add_column("inventories", sa.Column(name, sa.BigInteger(), nullable=False, server_default=default))
    op.add_column("claims", sa.Column("taken_at", sa.Double(), nullable=True))
    op.add_column("compute_nodes", sa.Column("metrics", Json(), nullable=True))
    op.create_index("instances_node", "instances", ["node_uuid", "task_state"], unique=False)
    op.create_index("services_last_seen", "services", ["last_seen"], unique=False)
