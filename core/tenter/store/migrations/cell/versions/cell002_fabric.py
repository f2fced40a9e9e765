"""Leftovers, sessions of computes, and what hosts report of failures and of their guests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tenter.store.columns import Json

revision = "cell002"
down_revision = "cell001"


def upgrade() -> None:
    """Add the table and the columns."""
    op.create_table(
        "leftovers",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("instance_uuid", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("node_uuid", sa.String(length=36), nullable=False),
        sa.Column("handle", Json(), nullable=True),
        sa.Column("vifs", Json(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index("leftovers_node", "leftovers", ["node_uuid", "instance_uuid"], unique=False)
    op.add_column("compute_nodes", sa.Column("failed_builds", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("compute_nodes", sa.Column("findings", Json(), nullable=True))
    op.add_column("operations", sa.Column("claimed_at", sa.Double(), nullable=True))
    op.add_column("services", sa.Column("session", sa.String(length=255), nullable=True))
