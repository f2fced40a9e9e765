"""InstanceAction and its events: an operation as os-instance-actions shows it."""

from tenter.objects.base import TenterObject, UUIDField, fields, register


@register
class InstanceActionEvent(TenterObject):
    """One run of one step. ``result`` is Success or Error, None while it runs."""

    VERSION = "1.0"
    fields = {
        "event": fields.StringField(),
        "step": fields.StringField(),
        "started": fields.FloatField(),
        "finished": fields.FloatField(nullable=True),
        "result": fields.StringField(nullable=True),
        "host": fields.StringField(nullable=True),
        "details": fields.StringField(nullable=True),
    }


@register
class InstanceAction(TenterObject):
    """What was asked, by whom, and how it went."""

    VERSION = "1.0"
    fields = {
        "uuid": UUIDField(),
        "action": fields.StringField(),
        "instance_uuid": UUIDField(),
        "project_id": fields.StringField(),
        "user_id": fields.StringField(),
        "request_id": fields.StringField(),
        "message": fields.StringField(nullable=True),
        "created_at": fields.FloatField(),
        "updated_at": fields.FloatField(),
        "events": fields.ListOfObjectsField("InstanceActionEvent"),
    }
