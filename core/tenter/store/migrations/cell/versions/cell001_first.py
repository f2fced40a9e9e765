"""The first schema of the cell database."""

import sqlalchemy as sa
from alembic import op

from tenter.store.columns import Json

revision = "cell001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "claims",
        sa.Column("holder_uuid", sa.String(length=36), nullable=False),
        sa.Column("provider_uuid", sa.String(length=36), nullable=False),
        sa.Column("resource_class", sa.String(length=255), nullable=False),
        sa.Column("holder_kind", sa.String(length=16), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("holder_uuid", "provider_uuid", "resource_class"),
    )
    op.create_index("claims_provider", "claims", ["provider_uuid"], unique=False)
    op.create_table(
        "compute_nodes",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("service_uuid", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("hypervisor_hostname", sa.String(length=255), nullable=False),
        sa.Column("hypervisor_type", sa.String(length=64), nullable=False),
        sa.Column("hypervisor_version", sa.Integer(), nullable=False),
        sa.Column("host_ip", sa.String(length=64), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("cpu_info", Json(), nullable=False),
        sa.Column("traits", Json(), nullable=False),
        sa.Column("failed_builds", sa.Integer(), nullable=False),
        sa.Column("findings", Json(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index("compute_nodes_host", "compute_nodes", ["host"], unique=False)
    op.create_table(
        "instances",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("reservation_id", sa.String(length=64), nullable=False),
        sa.Column("launch_index", sa.Integer(), nullable=False),
        sa.Column("vm_state", sa.String(length=32), nullable=False),
        sa.Column("task_state", sa.String(length=32), nullable=True),
        sa.Column("power_state", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("operation_uuid", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("node", sa.String(length=255), nullable=True),
        sa.Column("node_uuid", sa.String(length=36), nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("pinned_zone", sa.String(length=255), nullable=True),
        sa.Column("image_ref", sa.String(length=64), nullable=True),
        sa.Column("image", Json(), nullable=True),
        sa.Column("flavor", Json(), nullable=False),
        sa.Column("key_name", sa.String(length=255), nullable=True),
        sa.Column("access_ip_v4", sa.String(length=64), nullable=True),
        sa.Column("access_ip_v6", sa.String(length=64), nullable=True),
        sa.Column("config_drive", sa.Boolean(), nullable=False),
        sa.Column("disk_config", sa.String(length=16), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("root_device_name", sa.String(length=64), nullable=True),
        sa.Column("metadata", Json(), nullable=False),
        sa.Column("tags", Json(), nullable=False),
        sa.Column("hints", Json(), nullable=False),
        sa.Column("security_groups", Json(), nullable=False),
        sa.Column("network_info", Json(), nullable=False),
        sa.Column("fault", Json(), nullable=True),
        sa.Column("handle", Json(), nullable=True),
        sa.Column("spec", Json(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("launched_at", sa.Double(), nullable=True),
        sa.Column("terminated_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index("instances_created", "instances", ["created_at", "uuid"], unique=False)
    op.create_index("instances_host", "instances", ["host"], unique=False)
    op.create_index("instances_project", "instances", ["project_id", "created_at", "uuid"], unique=False)
    op.create_table(
        "inventories",
        sa.Column("provider_uuid", sa.String(length=36), nullable=False),
        sa.Column("resource_class", sa.String(length=255), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("ratio", sa.Double(), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider_uuid", "resource_class"),
    )
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
    op.create_table(
        "operations",
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("instance_uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step_attempt", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.Column("deadline", sa.Double(), nullable=False),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("args", Json(), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("events", Json(), nullable=False),
        sa.Column("error", Json(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("uuid"),
    )
    op.create_index("operations_ended", "operations", ["ended_at"], unique=False)
    op.create_index("operations_instance", "operations", ["instance_uuid", "created_at"], unique=False)
    op.create_index("operations_todo", "operations", ["state", "role", "host"], unique=False)
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
        sa.UniqueConstraint("host", "binary"),
    )
