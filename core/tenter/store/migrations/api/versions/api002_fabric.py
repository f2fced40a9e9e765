"""Quotas, conductors' signs of life, audits, and what a place keeps for when its cell is away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tenter.store.columns import Json

revision = "api002"
down_revision = "api001"


def upgrade() -> None:
    """Add the tables and columns. What servers that are there use of quotas, the first audit finds out."""
    op.create_table(
        "audits",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("found", Json(), nullable=False),
        sa.Column("repaired", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "quota_limits",
        sa.Column("owner_kind", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("hard_limit", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("owner_kind", "owner", "resource"),
    )
    op.create_table(
        "quota_usages",
        sa.Column("owner_kind", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_kind", "owner", "resource"),
    )
    op.create_table(
        "services",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("binary", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=255), nullable=True),
        sa.Column("forced_down", sa.Boolean(), nullable=False),
        sa.Column("session", sa.String(length=255), nullable=True),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.add_column("operations", sa.Column("claimed_at", sa.Double(), nullable=True))
    op.add_column("places", sa.Column("vcpus", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("places", sa.Column("memory_mb", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("places", sa.Column("brief", Json(), nullable=True))
    op.add_column("places", sa.Column("delete_wanted", sa.Double(), nullable=True))
