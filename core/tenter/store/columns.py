"""Column types and tables that both databases share."""

from __future__ import annotations

import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator


class Json(TypeDecorator[Any]):
    """JSON in a text column, the same on every database; read and written with orjson."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects.mysql import LONGTEXT

            return dialect.type_descriptor(LONGTEXT())
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else orjson.loads(value)


def blob_column(name: str, **kwargs: Any) -> sa.Column[bytes]:
    """Return a column for bytes, of up to some MiB on every database."""
    from sqlalchemy.dialects.mysql import LONGBLOB

    return sa.Column(name, sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"), **kwargs)


def uuid_column(name: str, **kwargs: Any) -> sa.Column[str]:
    """Return a column for a UUID in its 36-character text form."""
    return sa.Column(name, sa.String(36), **kwargs)


def time_column(name: str, **kwargs: Any) -> sa.Column[float]:
    """Return a column for a time as seconds since the epoch, UTC, with microseconds."""
    return sa.Column(name, sa.Double, **kwargs)


def iso(seconds: float | None) -> str | None:
    """Return a time as the Compute API shows it: ``2026-01-31T12:00:00Z``."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[:19] + "Z"


def operations_table(metadata: sa.MetaData) -> sa.Table:
    """Return the table of operations; it stands in the API database (until a build has found its cell) and in every
    cell database."""
    return sa.Table(
        "operations",
        metadata,
        uuid_column("uuid", primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        uuid_column("instance_uuid", nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("host", sa.String(255), nullable=True),
        sa.Column("attempt", sa.Integer, nullable=False, default=0),
        sa.Column("step_attempt", sa.Integer, nullable=False, default=0),
        sa.Column("owner", sa.String(128), nullable=True),
        time_column("lease_until", nullable=True),
        time_column("claimed_at", nullable=True),
        time_column("deadline", nullable=False),
        sa.Column("cancel", sa.Boolean, nullable=False, default=False),
        sa.Column("args", Json, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("events", Json, nullable=False),
        sa.Column("error", Json, nullable=True),
        time_column("created_at", nullable=False),
        time_column("updated_at", nullable=False),
        time_column("ended_at", nullable=True),
        sa.Index("operations_todo", "state", "role", "host"),
        sa.Index("operations_instance", "instance_uuid", "created_at"),
        sa.Index("operations_ended", "ended_at"),
    )


def services_table(metadata: sa.MetaData, *constraints: sa.schema.SchemaItem) -> sa.Table:
    """Return the table of processes and their last signs of life; computes stand in their cell's database, conductors
    in the API database. ``session`` names the one process that may report for the row, None if it left in order."""
    return sa.Table(
        "services",
        metadata,
        uuid_column("uuid", primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("binary", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False, default=False),
        sa.Column("disabled_reason", sa.String(255), nullable=True),
        sa.Column("forced_down", sa.Boolean, nullable=False, default=False),
        sa.Column("session", sa.String(255), nullable=True),
        time_column("last_seen", nullable=False),
        time_column("created_at", nullable=False),
        time_column("updated_at", nullable=True),
        sa.Index("services_last_seen", "last_seen"),
        *constraints,
    )
