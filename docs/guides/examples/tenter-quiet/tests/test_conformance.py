from tenter_quiet import QuietFilter

from tenter.testing import FilterConformance


class TestQuietFilter(FilterConformance):
    plugin = QuietFilter
