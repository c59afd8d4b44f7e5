"""The HTML report in a real Chromium: three widths, light and dark; screenshots stay in tmp_path.

Where there is no Chromium these are skipped: `apt-get install chromium`.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_search import write_study
from PIL import Image, ImageStat
from toy import make_plan
from waiting import PATIENCE

from studies.book import stored
from studies.report import html as page_file
from studies.report.page import gather

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (390, 820, 1280)
CSS = Path(page_file.__file__).parent / "templates" / "report.css"

MEASURE = """
const hidden = e => e.closest('.scroll, .skip, details:not([open]), svg');
const out = [...document.querySelectorAll('body *')].filter(
  e => !hidden(e) && e.getBoundingClientRect().right > innerWidth + 1);
const small = [...document.querySelectorAll('svg text')].map(
  e => e.getBoundingClientRect().height).filter(h => h > 0);
parent.document.title = JSON.stringify({
  inner: innerWidth,
  scroll: document.documentElement.scrollWidth,
  out: out.slice(0, 3).map(e => e.outerHTML.slice(0, 90)),
  smallest: Math.min(...small),
  broken: [...document.images].filter(i => !i.naturalWidth).length,
  images: document.images.length,
});
"""


@pytest.fixture(scope="module")
def chromium():
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    plan = make_plan(folder)
    write_study(plan, 60)
    return page_file.write([gather(stored.read(plan))], folder / "report.html")


def browse(chromium, page, *options, width=1280, height=3000):
    """Open ``page``; return what Chromium printed: the page it made, and its complaints."""
    done = subprocess.run(
        [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--enable-logging=stderr",
            f"--user-data-dir={page.parent / 'profile'}",
            f"--window-size={width},{height}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_width(chromium, page, tmp_path, width):
    """Nothing but what scrolls by itself is wider than the window; chart texts can be read."""
    text = page.read_text()
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert policy.search(text)
    measured = policy.sub("", text).replace("</body>", f"<script>{MEASURE}</script></body>")
    # In a frame: Chromium's own window is never narrower than 500 pixels.
    frame = f'<iframe style="border:0" width={width} height=3000 srcdoc="{html.escape(measured)}">'
    (tmp_path / "frame.html").write_text(f"<!doctype html><title></title>{frame}</iframe>")
    picture = tmp_path / f"{width}.png"
    made, _ = browse(
        chromium, tmp_path / "frame.html", "--dump-dom", f"--screenshot={picture}", width=1400
    )
    with Image.open(picture) as shown:
        assert ImageStat.Stat(shown.convert("L").crop((0, 0, width, 3000))).stddev[0] > 10
    title = re.search(r"<title>(.*?)</title>", made)
    assert title
    found = json.loads(html.unescape(title[1]))
    assert found["inner"] == width
    assert found["out"] == [] and found["scroll"] <= width
    assert found["smallest"] > 8
    assert found["broken"] == 0


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "value"), [("dark", 0), ("light", 1)])
def test_light_and_dark(chromium, page, tmp_path, scheme, value):
    """The page follows the system's theme, and Chromium has nothing to complain about."""
    picture = tmp_path / f"{scheme}.png"
    _, complaints = browse(
        chromium,
        page,
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
    light, dark = CSS.read_text().split("@media (prefers-color-scheme: dark)", 1)
    find = re.compile(r"--(\w+): (#[0-9a-f]{6});")
    day = dict(find.findall(light))
    return {"light": day, "dark": day | dict(find.findall(dark.split("* {")[0]))}


def luminance(colour):
    """Of sRGB, as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


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
