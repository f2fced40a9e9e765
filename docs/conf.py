"""How the documentation is built: ``tools/test docs``."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Tenter"
author = "The Tenter developers"
copyright = "The Tenter developers"
release = version = metadata.version("tenter")
extensions = ["oslo_config.sphinxext", "api_paths", "conformance", "contracts", "hook_table"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "A lean, open cloud compute fabric controller that speaks the OpenStack Compute API",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
nitpicky = True
from tenter_api.microversion import MAX_VERSION, MIN_VERSION  # noqa: E402

rst_epilog = f".. |min_version| replace:: {MIN_VERSION}\n.. |max_version| replace:: {MAX_VERSION}\n"
