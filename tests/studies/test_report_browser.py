"""The HTML report in a real Chromium: three widths, paper, light and dark.

Screenshots stay in pytest's temporary folder.
"""

import dataclasses
import html
import json
import re
from pathlib import Path

import pytest
from browser import browse, chromium  # noqa: F401
from colours import contrast
from made_search import write_study
from PIL import Image, ImageStat
from toy import SPEC, make_plan

from search_spaces.space import Choice, Float, Space
from studies.analysis import stored_study
from studies.report import page as page_file
from studies.report.page import gather
from studies.report.sections import reproduce

WIDTHS = (390, 820, 1280)
PAPER = 690
"""Pixels between the margins of A4."""
CSS = Path(page_file.__file__).parent / "templates" / "report.css"

MEASURE = """
const paper = NAME.endsWith('paper');
const hidden = e => e.closest(
  paper ? '.skip, nav, .again, svg' : '.scroll, .skip, details:not([open]), svg');
const all = [...document.querySelectorAll('body *')];
const right = e => e.getBoundingClientRect().right;
const out = all.filter(e => !hidden(e) && right(e) > innerWidth + 1);
const texts = [...document.querySelectorAll('svg text')];
const text = e => {
  const range = document.createRange();
  range.selectNodeContents(e);
  return range.getBoundingClientRect();
};
const captions = [...document.querySelectorAll('caption')];
const heights = texts.map(e => e.getBoundingClientRect().height).filter(h => h > 0);
(parent.found ??= {})[NAME] = {
  inner: innerWidth,
  scroll: document.documentElement.scrollWidth,
  out: out.slice(0, 3).map(e => e.outerHTML.slice(0, 90)),
  cut: texts.filter(e => paper && right(e) > innerWidth + 1).map(e => e.textContent),
  captions: captions.filter(e => text(e).right > innerWidth + 1).map(e => e.textContent),
  closed: paper ? [...document.querySelectorAll('details:not(.again) > :not(summary)')].filter(
    e => !e.getBoundingClientRect().height).length : 0,
  smallest: Math.min(...heights),
  broken: [...document.images].filter(i => !i.naturalWidth).length,
};
parent.document.title = JSON.stringify(parent.found);
"""


def long_names():
    """A study of twenty choices that only their last letters tell apart."""
    names = tuple(f"a_name_of_a_choice_that_is_of_fifty_one_letters_{n:03}" for n in range(20))
    space = Space({"choice": Choice(names), "optim.lr": Float(1e-4, 0.1, log=True)})
    defaults = {name: {"optim.lr": 0.001} for name in names}
    return dataclasses.replace(
        SPEC, scientific="choice", space=space, defaults=defaults, baseline=names[0]
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    plan = make_plan(folder, seeds=8)  # a table of them is wider than a phone
    write_study(plan, 60)
    return page_file.write([gather(stored_study.read(plan))], folder / "report.html")


@pytest.fixture(scope="module")
def long_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    plan = dataclasses.replace(make_plan(folder), spec=long_names(), trials=60)
    write_study(plan, 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduce, "best_config", lambda result: {})  # no trainer has such choices
        return page_file.write([gather(stored_study.read(plan))], folder / "report.html")


def frame(page, name, width):
    """A frame of that width with the page in it: a window is never narrower than 500 pixels."""
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    text = page.read_text()
    assert policy.search(text)
    if name.endswith("paper"):
        text = text.replace("@media print", "@media all")
    script = f"<script>const NAME = {json.dumps(name)};{MEASURE}</script>"
    text = policy.sub("", text).replace("</body>", f"{script}</body>")
    return (
        f'<iframe style="border:0" width={width} height=3000 srcdoc="{html.escape(text)}"></iframe>'
    )


@pytest.mark.long
def test_it_fits_every_width_and_paper(chromium, page, long_page, tmp_path):  # noqa: F811
    """Nothing but what scrolls by itself is wider than the window; chart texts can be read."""
    places = {f"{width}": width for width in WIDTHS} | {"paper": PAPER}
    frames = [
        frame(file, f"{kind} {name}", width)
        for kind, file in (("usual", page), ("long", long_page))
        for name, width in places.items()
    ]
    whole = tmp_path / "frames.html"
    whole.write_text(f"<!doctype html><title></title>{''.join(frames)}")
    made, _ = browse(
        chromium, whole.as_uri(), tmp_path / "profile", "--dump-dom", "--virtual-time-budget=9000"
    )
    title = re.search(r"<title>(.*?)</title>", made)
    assert title
    found = json.loads(html.unescape(title[1]))
    assert len(found) == 8
    for name, measured in found.items():
        assert measured["inner"] == places[name.split()[1]], name
        assert measured["out"] == [] and measured["scroll"] <= measured["inner"], name
        assert measured["captions"] == [], name
        assert measured["cut"] == [] and measured["closed"] == 0, name
        assert measured["smallest"] > (5 if "paper" in name else 8), name
        assert measured["broken"] == 0, name


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "value"), [("dark", 0), ("light", 1)])
def test_light_and_dark(chromium, page, tmp_path, scheme, value):  # noqa: F811
    """The page follows the system's theme, and Chromium has nothing to complain about."""
    picture = tmp_path / f"{scheme}.png"
    _, complaints = browse(
        chromium,
        page.as_uri(),
        tmp_path / "profile",
        f"--screenshot={picture}",
        f"--blink-settings=preferredColorScheme={value}",
    )
    assert "CONSOLE" not in complaints
    with Image.open(picture) as shown:
        assert shown.size == (1280, 3000)
        stat = ImageStat.Stat(shown.convert("L"))
    assert stat.mean[0] < 70 if scheme == "dark" else stat.mean[0] > 200
    assert stat.stddev[0] > 10  # something is drawn


def palettes():
    """The colours of ``report.css``, light and dark."""
    light, dark = CSS.read_text().split("@media screen and (prefers-color-scheme: dark)", 1)
    find = re.compile(r"--(\w+): (#[0-9a-f]{6});")
    day = dict(find.findall(light))
    return {"light": day, "dark": day | dict(find.findall(dark.split("* {")[0]))}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme):
    """WCAG 2.2 AA: 4.5 for text, 3 for what charts draw."""
    colours = palettes()[theme]
    for text in ("ink", "soft", "link"):
        for ground in ("ground", "paper", "tint", "warn"):
            if text == "ink" or ground in ("ground", "paper"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for mark in ("blue", "orange", "green", "grey"):
        assert contrast(colours[mark], colours["paper"]) >= 3, mark
