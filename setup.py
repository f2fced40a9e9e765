from setuptools import find_packages, setup

ROOTS = {"tenter": "core", "tenter_plugins": "plugins", "tenter_api": "api"}
setup(
    packages=[name for root in ROOTS.values() for name in find_packages(root)],
    package_dir={top: f"{root}/{top}" for top, root in ROOTS.items()},
)
