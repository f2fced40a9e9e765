"""Flavor: the virtual hardware a user may ask for."""

from tenter.objects.base import TenterObject, fields, register


@register
class Flavor(TenterObject):
    """Memory in MiB, disks in GiB, swap in MiB; times in seconds since the epoch."""

    VERSION = "1.0"
    fields = {
        "id": fields.IntegerField(nullable=True),
        "flavorid": fields.StringField(),
        "name": fields.StringField(),
        "vcpus": fields.IntegerField(),
        "memory_mb": fields.IntegerField(),
        "root_gb": fields.IntegerField(),
        "ephemeral_gb": fields.IntegerField(),
        "swap": fields.IntegerField(),
        "rxtx_factor": fields.FloatField(),
        "is_public": fields.BooleanField(),
        "disabled": fields.BooleanField(),
        "description": fields.StringField(nullable=True),
        "extra_specs": fields.DictOfStringsField(),
        "projects": fields.ListOfStringsField(),
        "created_at": fields.FloatField(nullable=True),
        "updated_at": fields.FloatField(nullable=True),
    }
