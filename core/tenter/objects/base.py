"""The base of versioned objects (oslo.versionedobjects).

oslo.versionedobjects imports oslo.messaging and with it oslo.service, which takes eventlet unless its threading backend
is chosen first, and futurist, which takes eventlet whenever it can be imported. Neither may happen here.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]

from oslo_service import backend as _backend  # noqa: E402

_backend.init_backend(_backend.BackendType.THREADING)

from oslo_versionedobjects import base, fields  # noqa: E402

__all__ = ["JsonField", "TenterObject", "UUIDField", "fields", "register"]

register = base.VersionedObjectRegistry.register


class UUID(fields.UUID):
    """Refuses what is no UUID; the library only warns, in a way that is slow and not safe in threads."""

    def coerce(self, obj: Any, attr: str, value: Any) -> str:
        uuid.UUID(f"{value}")
        return str(value)


class UUIDField(fields.AutoTypedField):
    """A UUID, as text."""

    AUTO_TYPE = UUID()


class JsonField(fields.AutoTypedField):
    """A free-form JSON value; carried, never interpreted."""

    AUTO_TYPE = fields.FieldType()


class TenterObject(base.VersionedObject):
    """A versioned thing that is stored or crosses a wire.

    Every change of ``fields`` bumps VERSION with one comment line, has a step in ``obj_make_compatible``, and changes
    the fingerprint in the tests.
    """

    OBJ_SERIAL_NAMESPACE = "tenter_object"
    OBJ_PROJECT_NAMESPACE = "tenter"

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Return an object with those of ``values`` set that are fields of it (a row, for instance)."""
        new = cls()
        new._put({name: values[name] for name in cls.fields if name in values})
        return new

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields that are set, objects within it as mappings."""
        return {name: _plain(value) for name, value in self._set_fields()}

    def obj_to_primitive(
        self, target_version: str | None = None, version_manifest: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the object as JSON values, without which fields were changed: a row is written whole."""
        if target_version is not None or version_manifest:
            older: dict[str, Any] = super().obj_to_primitive(target_version, version_manifest)
            return older
        data = {name: self.fields[name].to_primitive(self, name, value) for name, value in self._set_fields()}
        key = self._obj_primitive_key
        return {
            key("name"): self.obj_name(), key("namespace"): self.OBJ_PROJECT_NAMESPACE,
            key("version"): self.VERSION, key("data"): data,
        }  # fmt: skip

    @classmethod
    def _obj_from_primitive(cls, context: Any, objver: str, primitive: dict[str, Any]) -> Self:
        if objver != cls.VERSION:
            older: Self = super()._obj_from_primitive(context, objver, primitive)
            return older
        data = cls._obj_primitive_field(primitive, "data")
        new = cls()
        new._put({name: cls.fields[name].from_primitive(new, name, data[name]) for name in cls.fields if name in data})
        return new

    def _put(self, values: Mapping[str, Any]) -> None:
        """Set fields as setters do, but for noting that they were changed: nobody asks that of what was read."""
        coerced = {base._get_attrname(name): self.fields[name].coerce(self, name, values[name]) for name in values}
        vars(self).update(coerced)

    def _set_fields(self) -> list[tuple[str, Any]]:
        values = vars(self)
        return [(name, values[attr]) for name in self.fields if (attr := base._get_attrname(name)) in values]


def _plain(value: Any) -> Any:
    if isinstance(value, TenterObject):
        return value.to_mapping()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return dict(value)
    return value
