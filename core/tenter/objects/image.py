"""ImageMeta: what an instance remembers of the image it was made from."""

from tenter.objects.base import TenterObject, fields, register


@register
class ImageMeta(TenterObject):
    """Sizes in bytes, ``min_disk`` in GiB, ``min_ram`` in MiB; ``checksum`` is ``algorithm:hex`` of the data."""

    VERSION = "1.0"
    fields = {
        "id": fields.StringField(),
        "name": fields.StringField(nullable=True),
        "disk_format": fields.StringField(),
        "size": fields.IntegerField(),
        "checksum": fields.StringField(nullable=True),
        "min_disk": fields.IntegerField(default=0),
        "min_ram": fields.IntegerField(default=0),
        "properties": fields.DictOfStringsField(),
    }
