"""The report for everyone: axe-core in a real Chromium, on paper, in grey and without some colours.

``tests/axe/axe.min.js`` is axe-core 4.14.1 by Deque Systems, under the MPL 2.0 beside it.
"""

import html
import html.parser
import itertools
import json
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from browser import browse, chromium  # noqa: F401
from colours import SIGHTS, contrast, faded, luminance, seen
from made_search import write_study
from needs import missing
from test_report_browser import CSS, palettes
from toy import make_plan

from studies.analysis import stored_study
from studies.report import page as page_file
from studies.report.index_page import write_index
from studies.report.page import gather
from studies.report.side_by_side import side_by_side

AXE = Path(__file__).parent.parent / "axe" / "axe.min.js"
WIDTHS = (390, 820, 1440)
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
ASK = """
document.querySelectorAll('details').forEach(each => each.open = true);
axe.run(document, {resultTypes: ['violations']}).then(found => {
  const said = one => one.nodes.map(node => node.html.slice(0, 100)).join(' | ');
  (parent.found ??= {})[NAME] = found.violations.map(one => one.id + ': ' + said(one));
  parent.document.title = JSON.stringify(parent.found);
});
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of one study, that of two studies, and the index."""
    folder = tmp_path_factory.mktemp("pages")
    found = []
    for name, shift in (("a", 0.0), ("b", -0.02)):
        plan = make_plan(folder / name)
        write_study(plan, 40, shift=shift)
        found.append(stored_study.read(plan))
    one, two = map(gather, found)
    page_file.write([one], folder / "a" / "toy" / page_file.REPORT)
    both = page_file.write([one, two], folder / "both.html", side_by_side(found))
    return {"one": folder / "a/toy/report.html", "both": both, "index": write_index(folder / "a")}


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "value"), [("light", 1), ("dark", 0)])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(chromium, pages, tmp_path, width, scheme, value):  # noqa: F811
    frames = []
    for name, page in pages.items():
        script = f"<script src='{AXE.as_uri()}'></script>"
        script += f"<script>const NAME = {json.dumps(name)};{ASK}</script>"
        text = POLICY.sub("", page.read_text()).replace("</body>", f"{script}</body>")
        frames.append(
            f'<iframe title="{name}" style="border:0" width={width} height=3000'
            f' srcdoc="{html.escape(text)}"></iframe>'
        )
    whole = tmp_path / "frames.html"
    whole.write_text(f"<!doctype html><title></title>{''.join(frames)}")
    made, _ = browse(
        chromium,
        whole.as_uri(),
        tmp_path / "profile",
        "--dump-dom",
        "--virtual-time-budget=60000",
        "--allow-file-access-from-files",
        f"--blink-settings=preferredColorScheme={value}",
    )
    title = re.search(r"<title>(.*?)</title>", made)
    assert title and title[1], "axe has not answered"
    assert json.loads(html.unescape(title[1])) == {name: [] for name in pages}


class Shown(html.parser.HTMLParser):
    """The texts of a page that paper shows."""

    HIDDEN = ("style", "nav", "title", "head")

    def __init__(self, text):
        super().__init__()
        self.texts, self._hidden = [], 0
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag in ("meta", "link", "br", "img"):
            return
        self._open.append(
            tag in self.HIDDEN or dict(attrs).get("class") in ("skip", "here", "again")
        )

    def handle_endtag(self, tag):
        self._open.pop()

    def handle_data(self, data):
        if not any(self._open) and data.strip():
            self.texts.append(data)


def bare(text):
    """Without spaces, hyphens and the shapes of letters: lines are broken anywhere."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().replace("-", "").split())


@pytest.mark.long
@pytest.mark.parametrize("name", ["one", "both", "index"])
def test_paper_loses_nothing(chromium, pages, tmp_path, name):  # noqa: F811
    """Whatever the page says, closed details as well, stands in the PDF."""
    reader = shutil.which("pdftotext")
    if reader is None:
        missing("no pdftotext on this machine: apt-get install poppler-utils")
    printed = tmp_path / "page.pdf"
    browse(
        chromium,
        pages[name].as_uri(),
        tmp_path / "profile",
        f"--print-to-pdf={printed}",
        "--no-pdf-header-footer",
    )
    said = subprocess.run(
        [reader, "-raw", printed, "-"], capture_output=True, text=True, check=True
    )
    paper = bare(said.stdout)
    texts = Shown(pages[name].read_text()).texts
    assert len(texts) > (5 if name == "index" else 300)
    assert [text for text in texts if bare(text) not in paper] == []


def rules(pattern):
    """The declarations of the rules of ``report.css`` that match, by the pattern's group."""
    text = CSS.read_text()
    return {found[1]: found[2] for found in re.finditer(rf"{pattern} {{([^}}]*)}}", text)}


def value(rule, name):
    """What a rule declares; "": nothing."""
    return (re.findall(rf"(?:^|[ ;]){name}: ([^;]*)", rule) or [""])[0]


def test_the_choices_of_a_chart_differ_in_their_dashes():
    """Eight colours are too many to be told apart; so is each line's dash its own."""
    dashes = {
        name: value(rule, "stroke-dasharray") for name, rule in rules(r"\.choice(\d)").items()
    }
    assert sorted(dashes) == [str(n) for n in range(8)]
    assert len(set(dashes.values())) == 8


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_better_trials_are_seen_to_be_better(theme, sight):
    """Of the fifths each is larger, and further from the ground, for every eye."""
    colours = palettes()[theme]
    ground = seen(colours["paper"], sight)
    shades = [seen(colours[f"f{n}"], sight) for n in range(5)]
    apart = [(max(s, ground) + 0.05) / (min(s, ground) + 0.05) for s in shades]
    assert all(b > 1.15 * a for a, b in itertools.pairwise(apart)), apart
    sizes = [float(value(rule, "--wide")) for _, rule in sorted(rules(r"\.fifth(\d)").items())]
    assert len(sizes) == 5 and sizes == sorted(set(sizes))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_of_all_marks(theme):
    """WCAG 2.2 AA: 3 for what charts draw, with its opacity."""
    colours = palettes()[theme]
    for name in [f"c{n}" for n in range(8)] + [f"f{n}" for n in range(5)]:
        assert contrast(colours[name], colours["paper"]) >= 3, name
    for kind, colour in (("line.complete", "blue"), ("line.pruned", "orange"), ("dots", "blue")):
        rule = rules(rf"\.({kind.replace('.', '[.]')})")[kind]
        opacity = float(value(rule, "opacity"))
        assert contrast(faded(colours[colour], colours["paper"], opacity), colours["paper"]) >= 3
    assert luminance(colours["ink"]) != luminance(colours["paper"])
