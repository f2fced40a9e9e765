"""NetworkInfo and VIF: the network interfaces of an instance, as stored with it."""

from tenter.objects.base import JsonField, TenterObject, fields, register


@register
class Subnet(TenterObject):
    """An IP subnet as a guest sees it."""

    VERSION = "1.0"
    fields = {
        "id": fields.StringField(),
        "cidr": fields.StringField(),
        "gateway": fields.StringField(nullable=True),
        "dns": fields.ListOfStringsField(),
        "dhcp": fields.BooleanField(),
    }


@register
class FixedIP(TenterObject):
    """An address and the subnet it is from."""

    VERSION = "1.0"
    fields = {
        "address": fields.IPAddressField(),
        "version": fields.IntegerField(),
        "subnet": fields.ObjectField("Subnet"),
    }


@register
class VIF(TenterObject):
    """One network interface; ``id`` is the port's UUID, ``details`` are the network driver's own."""

    VERSION = "1.0"
    fields = {
        "id": fields.StringField(),
        "network_id": fields.StringField(),
        "network_label": fields.StringField(),
        "mac": fields.MACAddressField(),
        "type": fields.StringField(),
        "fixed_ips": fields.ListOfObjectsField("FixedIP"),
        "devname": fields.StringField(nullable=True),
        "mtu": fields.IntegerField(),
        "details": JsonField(),
    }


@register
class NetworkInfo(TenterObject):
    """All interfaces of an instance, in order."""

    VERSION = "1.0"
    fields = {"vifs": fields.ListOfObjectsField("VIF")}
