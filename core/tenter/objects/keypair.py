"""KeyPair: a public key that a user puts into guests."""

from tenter.objects.base import TenterObject, fields, register


@register
class KeyPair(TenterObject):
    """``type`` is ssh or x509; ``fingerprint`` as the Compute API shows it."""

    VERSION = "1.0"
    fields = {
        "id": fields.IntegerField(nullable=True),
        "user_id": fields.StringField(),
        "name": fields.StringField(),
        "type": fields.StringField(),
        "public_key": fields.StringField(),
        "fingerprint": fields.StringField(),
        "created_at": fields.FloatField(nullable=True),
    }
