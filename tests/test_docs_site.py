"""The documentation site as it is built: axe-core in a real Chromium, and no page wider than it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from browser import chromium  # noqa: F401
from needs import missing
from webdriver import open_browser

ROOT = Path(__file__).parents[1]
ASK = """;
const said = one => one.nodes.slice(0, 3).map(node => node.html.slice(0, 120)).join(' | ');
return axe.run(document, {resultTypes: ['violations']})
    .then(found => found.violations.map(one => one.id + ': ' + said(one)));
"""
WIDE = """
const right = e => e.getBoundingClientRect().right;
const scrolls = e => e.closest('.table-wrapper, pre, .drawing');
return [...document.querySelectorAll('article *')]
    .filter(e => !scrolls(e) && right(e) > innerWidth + 1 && getComputedStyle(e).display != 'none')
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120));
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of the site, built once."""
    if importlib.util.find_spec("sphinx") is None or importlib.util.find_spec("furo") is None:
        missing("no Sphinx in this environment: make docs installs it")
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "docs", str(built)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 40
    return {str(page.relative_to(built)): page for page in pages}


@pytest.fixture(scope="module")
def window(chromium, tmp_path_factory):  # noqa: F811
    with open_browser(chromium, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_axe_finds_nothing(site, window, width, scheme):
    axe = (ROOT / "tests/axe/axe.min.js").read_text()
    found = {}
    window.look(width, 900, scheme)
    for name, page in site.items():
        window.open(page.as_uri())
        found[name] = window.run(axe + ASK) + window.run(WIDE)
    assert {name: said for name, said in found.items() if said} == {}
