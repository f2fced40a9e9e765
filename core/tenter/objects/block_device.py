"""BlockDevice: one disk of an instance."""

from tenter.objects.base import TenterObject, fields, register


@register
class BlockDevice(TenterObject):
    """Where a disk comes from and what it becomes, in the words of block_device_mapping_v2. Size in GiB."""

    VERSION = "1.0"
    fields = {
        "boot_index": fields.IntegerField(nullable=True),
        "source_type": fields.EnumField(["blank", "image", "snapshot", "volume"]),
        "destination_type": fields.EnumField(["local", "volume"]),
        "image_id": fields.StringField(nullable=True),
        "volume_size": fields.IntegerField(nullable=True),
        "device_name": fields.StringField(nullable=True),
        "delete_on_termination": fields.BooleanField(default=True),
    }
