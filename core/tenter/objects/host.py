"""Service and ComputeNode: the processes of a fabric, and what they manage."""

from tenter.objects.base import JsonField, TenterObject, UUIDField, fields, register


@register
class Service(TenterObject):
    """One process of the fabric, known by a key it made itself."""

    VERSION = "1.0"
    fields = {
        "uuid": UUIDField(),
        "host": fields.StringField(),
        "binary": fields.StringField(),
        "version": fields.IntegerField(),
        "disabled": fields.BooleanField(default=False),
        "disabled_reason": fields.StringField(nullable=True),
        "forced_down": fields.BooleanField(default=False),
        "last_seen": fields.FloatField(),
        "created_at": fields.FloatField(),
        "updated_at": fields.FloatField(nullable=True),
    }


@register
class ComputeNode(TenterObject):
    """A node: one hypervisor or one bare-metal machine, under a UUID of its own."""

    VERSION = "1.0"
    fields = {
        "uuid": UUIDField(),
        "service_uuid": UUIDField(),
        "host": fields.StringField(),
        "hypervisor_hostname": fields.StringField(),
        "hypervisor_type": fields.StringField(),
        "hypervisor_version": fields.IntegerField(),
        "host_ip": fields.StringField(),
        "availability_zone": fields.StringField(),
        "cpu_info": JsonField(),
        "traits": fields.ListOfStringsField(),
        "created_at": fields.FloatField(),
        "updated_at": fields.FloatField(nullable=True),
    }
