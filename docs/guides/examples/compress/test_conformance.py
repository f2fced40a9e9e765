from tenter_compress.feature import CompressFeature

from tenter.testing import FeatureConformance


class TestCompressFeature(FeatureConformance):
    plugin = CompressFeature
    capabilities = {"live_migration": {"compression": ["zlib", "zstd"]}}
