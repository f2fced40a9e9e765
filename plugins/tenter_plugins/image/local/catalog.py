"""The descriptions: table, rows and queries."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tenter import errors
from tenter.contracts.image import Image, ImageQuery
from tenter_plugins.sqlite import Database

METADATA = sa.MetaData()
IMAGES = sa.Table(
    "images",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(255), index=True),
    sa.Column("owner", sa.String(64), nullable=False, index=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("visibility", sa.String(16), nullable=False),
    sa.Column("disk_format", sa.String(32)),
    sa.Column("container_format", sa.String(32)),
    sa.Column("size", sa.BigInteger),
    sa.Column("checksum", sa.String(32)),
    sa.Column("hash_algorithm", sa.String(16)),
    sa.Column("hash_value", sa.String(128)),
    sa.Column("min_disk", sa.Integer, nullable=False),
    sa.Column("min_ram", sa.Integer, nullable=False),
    sa.Column("protected", sa.Boolean, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False, index=True),
    sa.Column("updated_at", sa.String(32), nullable=False),
)
_PLAIN = frozenset(
    ("id", "name", "owner", "visibility", "disk_format", "container_format", "min_disk", "min_ram")
)
_WRITABLE = _PLAIN | {"protected", "tags", "properties"}
SORT_KEYS = _PLAIN | {"status", "size", "created_at", "updated_at"}
_FORMATS = ("disk_format", "container_format")


def now() -> str:
    """Return the time in UTC as the Image API writes it, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def missing(image_id: str) -> errors.NotFound:
    """Return the error for an image that is not there or may not be seen."""
    return errors.NotFound(f"No image found with ID {image_id}")


def to_image(row: sa.RowMapping) -> Image:
    """Return a row as an image."""
    values = dict(row)
    algorithm, digest = values.pop("hash_algorithm"), values.pop("hash_value")
    tags = tuple(values.pop("tags"))
    return Image(**values, tags=tags, hash=(algorithm, digest) if algorithm else None)


_SHOW = sa.select(IMAGES).where(IMAGES.c.id == sa.bindparam("image_id"))


class Catalog:
    """The images that are described."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.close = database.close

    def show(self, image_id: str, project_id: str | None = None) -> Image:
        with self._database.reading() as conn:
            row = conn.execute(_SHOW, {"image_id": image_id}).mappings().first()
        if row is None:
            raise missing(image_id)
        if project_id not in (None, row["owner"]) and row["visibility"] not in ("public", "community"):
            raise missing(image_id)
        return to_image(row)

    def list(self, query: ImageQuery) -> Sequence[Image]:
        statement = sa.select(IMAGES).where(*_conditions(query))
        order = _order(query)
        with self._database.reading() as conn:
            if query.marker is not None:
                keys = sa.select(*(_sortable(name) for name, _ in order)).where(IMAGES.c.id == query.marker)
                last = conn.execute(keys).first()
                if last is None:
                    raise errors.Invalid(f"The marker {query.marker} is no image.")
                statement = statement.where(_after(order, tuple(last)))
            statement = statement.order_by(*(getattr(_sortable(name), way)() for name, way in order))
            return [to_image(row) for row in conn.execute(statement.limit(query.limit)).mappings()]

    def statuses(self) -> Mapping[str, str]:
        """Return the status of every image by id."""
        with self._database.reading() as conn:
            return {row.id: row.status for row in conn.execute(sa.select(IMAGES.c.id, IMAGES.c.status))}

    def create(self, values: Mapping[str, Any]) -> Image:
        _only(values)
        moment = now()
        row: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "name": None,
            "status": "queued",
            "visibility": "shared",
        }
        row |= {"min_disk": 0, "min_ram": 0, "protected": False, "created_at": moment, "updated_at": moment}
        row |= {"tags": [], "properties": {}, **values}
        row["tags"], row["properties"] = list(row["tags"]), dict(row["properties"])
        try:
            with self._database.writing() as conn:
                conn.execute(sa.insert(IMAGES).values(row))
        except exc.IntegrityError as error:
            raise errors.Conflict(f"Image ID {row['id']} already exists!") from error
        return self.show(row["id"])

    def update(self, image_id: str, values: Mapping[str, Any]) -> Image:
        _only(values)
        new = {key: list(value) if key == "tags" else value for key, value in values.items()}
        with self._database.writing() as conn:
            row = conn.execute(sa.select(IMAGES).where(IMAGES.c.id == image_id)).mappings().first()
            if row is None:
                raise missing(image_id)
            for key in _FORMATS:
                if row["status"] != "queued" and new.get(key, row[key]) != row[key]:
                    raise errors.Conflict(f"{key} can only be changed while the image is queued.")
            conn.execute(sa.update(IMAGES).where(IMAGES.c.id == image_id).values(**new, updated_at=now()))
        return self.show(image_id)

    def move(self, image_id: str, before: str, after: str, **values: Any) -> bool:
        """Change the status if it is ``before``; return whether it was."""
        same = (IMAGES.c.id == image_id) & (IMAGES.c.status == before)
        change = sa.update(IMAGES).where(same).values(status=after, updated_at=now(), **values)
        with self._database.writing() as conn:
            return bool(conn.execute(change).rowcount)

    def delete(self, image_id: str) -> None:
        with self._database.writing() as conn:
            row = conn.execute(sa.select(IMAGES.c.protected).where(IMAGES.c.id == image_id)).first()
            if row is None:
                raise missing(image_id)
            if row.protected:
                raise errors.Forbidden(f"Image {image_id} is protected and cannot be deleted.")
            conn.execute(sa.delete(IMAGES).where(IMAGES.c.id == image_id))


def _only(values: Mapping[str, Any]) -> None:
    if unknown := sorted(set(values) - _WRITABLE):
        raise errors.Invalid(f"Not a field of an image that can be set: {', '.join(unknown)}.")


def _conditions(query: ImageQuery) -> list[sa.ColumnElement[bool]]:
    columns = IMAGES.c
    found: list[sa.ColumnElement[bool]] = []
    if query.project_id is not None:
        seen = ["public", "community"] if query.visibility == "community" else ["public"]
        found.append((columns.owner == query.project_id) | columns.visibility.in_(seen))
    many = {"id": query.ids, "name": query.names, "status": query.statuses}
    many |= {"disk_format": query.disk_formats, "container_format": query.container_formats}
    found += [columns[key].in_(value) for key, value in many.items() if value is not None]
    one = {"visibility": query.visibility, "owner": query.owner, "checksum": query.checksum}
    found += [columns[key] == value for key, value in one.items() if value is not None]
    if query.protected is not None:
        found.append(columns.protected == query.protected)
    if query.size_min is not None:
        found.append(columns.size >= query.size_min)
    if query.size_max is not None:
        found.append(columns.size <= query.size_max)
    for tag in query.tags:
        each = sa.func.json_each(columns.tags).table_valued("value")
        found.append(sa.exists(sa.select(sa.literal(1)).select_from(each).where(each.c.value == tag)))
    found += [columns.properties[key].as_string() == value for key, value in query.properties.items()]
    return found


def _order(query: ImageQuery) -> list[tuple[str, str]]:
    """Return what to sort by, ending with the id, so that a marker means one place."""
    for name, way in query.sort:
        if name not in SORT_KEYS or way not in ("asc", "desc"):
            raise errors.Invalid(f"Images cannot be sorted by {name}:{way}.")
    order = list(query.sort)
    if "id" not in dict(order):
        order.append(("id", order[-1][1] if order else "asc"))
    return order


def _sortable(name: str) -> sa.ColumnElement[Any]:
    column = IMAGES.c[name]
    return sa.func.coalesce(column, -1 if name == "size" else "") if column.nullable else column


def _after(order: Sequence[tuple[str, str]], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Return the condition of all that comes after ``last``: some key is beyond it and all before that are
    equal."""
    choices = []
    for index, (name, way) in enumerate(order):
        same = [_sortable(before) == value for (before, _), value in zip(order[:index], last)]
        column = _sortable(name)
        choices.append(sa.and_(*same, column > last[index] if way == "asc" else column < last[index]))
    return sa.or_(*choices)
