from tenter_greeter.extension import GreeterExtension

from tenter.testing import ExtensionConformance


class TestGreeterExtension(ExtensionConformance):
    plugin = GreeterExtension
