"""Instance: a server, as a cell knows it."""

from tenter.objects.base import JsonField, TenterObject, UUIDField, fields, register


@register
class Instance(TenterObject):
    """The states are those of the Compute API; times in seconds since the epoch.

    ``operation_uuid`` names the operation that may change the instance now; ``handle`` is the virt driver's own.
    """

    VERSION = "1.0"
    fields = {
        "uuid": UUIDField(),
        "project_id": fields.StringField(),
        "user_id": fields.StringField(),
        "display_name": fields.StringField(),
        "description": fields.StringField(nullable=True),
        "hostname": fields.StringField(),
        "reservation_id": fields.StringField(),
        "launch_index": fields.IntegerField(),
        "vm_state": fields.StringField(),
        "task_state": fields.StringField(nullable=True),
        "power_state": fields.IntegerField(),
        "progress": fields.IntegerField(),
        "operation_uuid": UUIDField(nullable=True),
        "host": fields.StringField(nullable=True),
        "node": fields.StringField(nullable=True),
        "node_uuid": UUIDField(nullable=True),
        "availability_zone": fields.StringField(nullable=True),
        "pinned_zone": fields.StringField(nullable=True),
        "image_ref": fields.StringField(nullable=True),
        "image": JsonField(nullable=True),
        "flavor": JsonField(),
        "key_name": fields.StringField(nullable=True),
        "access_ip_v4": fields.StringField(nullable=True),
        "access_ip_v6": fields.StringField(nullable=True),
        "config_drive": fields.BooleanField(),
        "disk_config": fields.StringField(),
        "locked": fields.BooleanField(),
        "root_device_name": fields.StringField(nullable=True),
        "metadata": fields.DictOfStringsField(),
        "tags": fields.ListOfStringsField(),
        "hints": JsonField(),
        "security_groups": fields.ListOfStringsField(),
        "network_info": JsonField(),
        "fault": JsonField(nullable=True),
        "handle": JsonField(nullable=True),
        "spec": JsonField(),
        "created_at": fields.FloatField(),
        "updated_at": fields.FloatField(),
        "launched_at": fields.FloatField(nullable=True),
        "terminated_at": fields.FloatField(nullable=True),
    }
