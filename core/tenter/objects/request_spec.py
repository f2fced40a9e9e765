"""RequestSpec: what a user asked for when creating a server, kept for as long as the server lives."""

from tenter.objects.base import JsonField, TenterObject, UUIDField, fields, register


@register
class RequestSpec(TenterObject):
    """All that a build needs beside the instance's row; secrets (the admin password) are not in it.

    ``networks`` are the wanted NICs (network_id, port_id, fixed_ip, tag); ``user_data`` is base64 text.
    """

    VERSION = "1.0"
    fields = {
        "instance_uuid": UUIDField(),
        "project_id": fields.StringField(),
        "user_id": fields.StringField(),
        "flavor": fields.ObjectField("Flavor"),
        "image": fields.ObjectField("ImageMeta"),
        "networks": JsonField(),
        "block_devices": fields.ListOfObjectsField("BlockDevice"),
        "availability_zone": fields.StringField(nullable=True),
        "forced_host": fields.StringField(nullable=True),
        "key_name": fields.StringField(nullable=True),
        "public_key": fields.StringField(nullable=True),
        "user_data": fields.StringField(nullable=True),
        "scheduler_hints": JsonField(),
    }
