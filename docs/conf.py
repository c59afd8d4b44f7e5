"""The documentation site: `make docs` builds it from this folder into build/docs.

A broken link or anchor inside the site is a warning, and `make docs` makes each warning an error.
Fonts are those of the reader's system and scripts lie beside the pages, so nothing is fetched.
"""

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the reference imports the packages, and trains nothing

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
author = copyright = PROJECT["authors"][0]["name"]
release = version = PROJECT["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["README.md"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

smartquotes = False  # it makes one dash of the two before an option's name

html_theme = "furo"
html_title = f"{PROJECT['name']} {version}"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

MENDED = {
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    "<pre>": '<pre tabindex="0">',  # so that keys scroll it
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    '<div id="search-results">': '<h1>Search</h1>\n<div id="search-results">',
}
"""What axe-core 4.14 finds on the theme's pages, and what it is replaced by."""


def mend(app: Any, error: Exception | None) -> None:
    """Name the landmarks and the level of the captions in the pages that were written."""
    if error is None:
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            for wrong, right in MENDED.items():
                text = text.replace(wrong, right)
            text = re.sub(r"<th([^>]*)>(?:<p></p>)?</th>", r"<td\1></td>", text)  # an empty corner
            text = re.sub(r'<p>(?=<img [^>]*\.svg")', '<p class="drawing" tabindex="0">', text)
            page.write_text(text, encoding="utf-8")


def setup(app: Any) -> None:
    """Connect what runs after the build."""
    app.connect("build-finished", mend)
