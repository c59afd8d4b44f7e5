"""The page of ``demo`` in a real Chromium: drawn on with a mouse, a finger and a pen."""

import json
import math
import re
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from browser import chromium  # noqa: F401
from strokes import strokes_of
from waiting import until
from webdriver import open_browser

from mnist_core.config import DataConfig
from mnist_core.data import load_test
from mnist_core.demo import choices
from mnist_core.demo.application import Demo, application
from mnist_core.web import server

ROOT = Path(__file__).parents[2]
AXE = (
    (ROOT / "tests/axe/axe.min.js").read_text()
    + """;
return axe.run(document, {resultTypes: ['violations']})
    .then(found => found.violations.map(one => one.id))
"""
)
SIZES = [(390, 844), (820, 1180), (1440, 900)]


def arc(x, y, width, height, start, end):
    turns = [start + (end - start) * k / 16 for k in range(17)]
    return [(x + width * math.cos(turn), y + height * math.sin(turn)) for turn in turns]


ONE = [(0.5, 0.15 + 0.07 * k) for k in range(11)]
THREE = arc(0.48, 0.34, 0.2, 0.16, -2.6, 1.4) + arc(0.48, 0.66, 0.23, 0.18, -1.4, 2.6)
SEVEN = [(0.25 + 0.05 * k, 0.2) for k in range(11)]
SEVEN += [(0.75 - 0.03 * k, 0.2 + 0.07 * k) for k in range(1, 10)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server of the packaged models."""
    with serving(tmp_path_factory.mktemp("demo")) as found:
        yield found


@contextmanager
def serving(folder):
    runs = folder / "results" / "runs"
    app = application(Demo(choices.gather(None, runs=runs), "cpu"), host="127.0.0.1")
    with server.listen(app, "127.0.0.1", 0, by="demo") as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/"
        listening.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def window(chromium, tmp_path_factory):  # noqa: F811
    with open_browser(chromium, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def page(window, address):
    """The page, freshly opened at a tablet's size; the test fails if the browser complains."""
    window.look(820, 1180)
    window.open("about:blank")
    window.open(address)
    until(lambda: window.text("#draw .detail"))
    until(lambda: window.text("#draw .bars"))
    yield window
    assert window.complaints() == []


def state(page, view="draw"):
    return page.run(f"return document.querySelector('#{view} .answer').dataset.state")


def answer(page, view="draw"):
    return page.text(f"#{view} .lead")


def odds(page):
    script = (
        "return [...document.querySelectorAll('.bars .value')]"
        ".map(e => parseFloat(e.textContent.replace(/[<>] /, '')))"
    )
    return page.run(script)


def pixels(page, selector=".seen canvas"):
    """How bright the image that the model sees is, from 0 to 1."""
    return page.run(
        "const copy = document.createElement('canvas'), x = copy.getContext('2d'); let sum = 0;"
        f"copy.width = copy.height = 28; x.drawImage(document.querySelector({selector!r}), 0, 0);"
        "const d = x.getImageData(0, 0, 28, 28).data;"
        "for (let k = 0; k < d.length; k += 4) sum += d[k]; return sum / 255 / 784"
    )


def test_drawing_moves_the_probabilities(page):
    """The central one: draw, undo, clear, and what is seen beside it."""
    assert state(page) == "empty" and pixels(page) == 0
    page.run(
        "window.answers = 0; new MutationObserver(() => window.answers++).observe("
        "document.querySelector('.time'), {childList: true})"
    )
    page.draw("#draw .paper", THREE)
    until(lambda: answer(page) == "This looks like 3")
    assert state(page) == "sure" and odds(page)[3] > 60 and 0.05 < pixels(page) < 0.4
    assert sum(odds(page)) == pytest.approx(100, abs=1)
    assert page.run("return window.answers") >= 5  # while it was drawn
    until(lambda: "This looks like 3" in page.text("#draw .said"))
    page.click("#draw [data-tool=clear]")
    until(lambda: state(page) == "empty")
    assert pixels(page) == 0
    page.click("#draw [data-tool=undo]")
    until(lambda: answer(page) == "This looks like 3")
    page.click("#draw [data-tool=undo]")
    until(lambda: state(page) == "empty")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["touch", "pen"])
def test_a_finger_and_a_pen_draw(page, kind):
    page.draw("#draw .paper", SEVEN, kind)
    until(lambda: answer(page) == "This looks like 7")


@pytest.mark.long
def test_the_eraser_and_the_size(page):
    page.draw("#draw .paper", ONE)
    until(lambda: state(page) != "empty")
    thin = pixels(page)
    page.click("#draw [data-tool=clear]")
    page.run("document.querySelector('#draw .size').value = 16")
    page.draw("#draw .paper", ONE)
    until(lambda: pixels(page) > 1.2 * thin)
    page.click("#draw [data-tool=eraser]")
    page.draw("#draw .paper", ONE)
    until(lambda: state(page) == "empty")
    page.draw("#draw .paper", [(0.5, 0.5)])
    assert state(page) == "empty"


@pytest.mark.long
def test_a_dot_is_too_small_and_scribble_is_said_to_be_unsure(page):
    page.draw("#draw .paper", [(0.5, 0.5), (0.502, 0.5)])
    until(lambda: state(page) == "small")
    random = np.random.default_rng(3)
    states = set()
    for _ in range(12):
        page.click("#draw [data-tool=clear]")
        until(lambda: state(page) == "empty")
        page.draw("#draw .paper", random.uniform(0.15, 0.85, (9, 2)).tolist())
        until(lambda: state(page) in ("sure", "unsure"))
        states.add(state(page))
        if state(page) == "unsure":
            assert answer(page) == "Not sure" and max(odds(page)) < 60
    assert "unsure" in states


@pytest.mark.long
def test_the_keyboard_reaches_all_of_it(page):
    """Tab by tab in the order of the page; arrows change the view; keys of the drawing area."""
    seen = []
    for _ in range(10):
        page.keys("tab")
        seen.append(
            page.run(
                "const e = document.activeElement; return e.id || e.dataset.tool || e.className"
            )
        )
    wanted = ["skip", "tab-draw", "draw-model", "paper", "brush", "eraser", "size"]
    assert seen[: len(wanted)] == wanted
    page.draw("#draw .paper", THREE)
    until(lambda: answer(page) == "This looks like 3")
    page.keys("c")
    until(lambda: state(page) == "empty")
    page.keys("z")
    until(lambda: answer(page) == "This looks like 3")
    page.keys("e")
    assert page.run("return document.querySelector('[data-tool=eraser]').ariaPressed") == "true"
    page.keys("b", "]")
    assert page.run("return document.querySelector('#draw .size').value") == "10"
    # A click would open the list, and while that is open the browser runs no script.
    page.run("document.querySelector('#draw-model').focus()")
    page.keys("ctrl+z")
    until(lambda: state(page) == "empty")
    page.click("#tab-draw")
    page.keys("right")
    assert page.run("return document.activeElement.id") == "tab-same"
    assert page.run("return document.querySelector('#draw').hidden")
    page.keys("right")
    until(lambda: page.text(".summary").endswith("right"))
    page.keys("right")
    assert page.run("return document.querySelector('#draw').hidden") is False


@pytest.mark.long
def test_two_drawings_are_the_same_digit_or_not(page):
    page.click("#tab-same")
    first, second = (f"#same .board:nth-child({k}) .paper" for k in (1, 2))
    page.draw(first, THREE)
    until(lambda: answer(page, "same") == "Now the other one")
    page.draw(second, [(0.9 * x + 0.05, 0.9 * y) for x, y in THREE])
    until(lambda: answer(page, "same") == "The same digit")
    assert re.fullmatch(r"Score .*threshold of [\d.-]+", page.text("#same .more"))
    page.click("#same .board:nth-child(2) [data-tool=clear]")
    page.draw(second, SEVEN)
    until(lambda: answer(page, "same") == "Different digits")


@pytest.mark.long
def test_mistakes_are_shown_and_test_images_only_if_asked_for(page):
    page.click("#tab-images")
    until(lambda: page.text(".summary").endswith("right"))
    kinds = "return [...document.querySelectorAll('.grid li')].map(e => e.className)"
    assert page.run(kinds)[0] == "wrong" and len(page.run(kinds)) == 60
    page.click("#more-images")
    until(lambda: len(page.run(kinds)) == 120)
    page.run(
        "const s = document.querySelector('#split'); s.value = 'test';"
        "s.dispatchEvent(new Event('change'))"
    )
    until(lambda: page.run("return !document.querySelector('#ask-test').hidden"))
    assert page.run(kinds) == []
    page.click("#read-test")
    until(lambda: "test images" in page.text(".summary") and len(page.run(kinds)) == 60)


REPLAY = """
const paper = document.querySelector('#draw .paper');
const send = (kind, [x, y]) => {
  const box = paper.getBoundingClientRect();
  const at = {clientX: box.x + x * box.width, clientY: box.y + y * box.height};
  const about = {pointerId: 5, button: 0, buttons: 1, bubbles: true, ...at};
  paper.dispatchEvent(new PointerEvent(kind, about));
};
const frame = () => new Promise(requestAnimationFrame);
const answer = document.querySelector('#draw .answer');
if (!window.requests) {
  const real = window.fetch;
  window.requests = {open: 0};
  window.fetch = async (...words) => {
    window.requests.open++;
    try { return await real(...words); } finally { window.requests.open--; }
  };
}
const settled = async () => {
  for (let idle = 0; idle < 5; idle++) {
    await frame();
    if (window.requests.open) idle = 0;
  }
};
return (async () => {
  for (const stroke of arguments[0]) {
    send('pointerdown', stroke[0]);
    for (const point of stroke.slice(1)) send('pointermove', point);
    send('pointerup', stroke.at(-1));
  }
  await settled();
  const best = document.querySelector('.bars .best .name')?.textContent;
  document.querySelector('#draw [data-tool=clear]').click();
  await settled();
  return answer.dataset.state === 'empty' ? best : 'not cleared';
})();
"""


@pytest.mark.long
def test_200_test_digits_drawn_as_strokes_are_recognised(page):
    """Their skeletons are drawn by pointer events, and read from the page."""
    split = load_test(DataConfig())
    right = 0
    for image, label in zip(split.images[:200].numpy(), split.labels[:200].tolist(), strict=True):
        right += page.run(REPLAY, strokes_of(image)) == str(label)
    assert right >= 180, right


MEASURE = """
const shown = e => e.getClientRects().length && !e.closest('.hidden, .skip');
const all = [...document.querySelectorAll('body *')].filter(shown);
const rgb = c => (c.match(/[\\d.]+/g) ?? []).map(Number);
const ground = e => {
  for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length && (c[3] ?? 1) > 0) return c;
  }
  return [255, 255, 255];
};
const light = c => [0.2126, 0.7152, 0.0722].map((f, k) => {
  const v = c[k] / 255;
  return f * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
}).reduce((a, b) => a + b);
const contrast = (a, b) => {
  const [h, l] = [light(a), light(b)].sort((x, y) => y - x);
  return (h + 0.05) / (l + 0.05);
};
const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
const pale = all.filter(e => own(e) && !e.closest('[disabled]') && !e.matches('canvas, option'))
  .map(e => [contrast(rgb(getComputedStyle(e).color), ground(e)), e.outerHTML.slice(0, 80)])
  .filter(([c]) => c < 4.5);
const controls = all.filter(e => e.matches('button, select, input, canvas[role], [tabindex="0"]'));
const name = e => e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim();
const nameless = controls.filter(e => !name(e) || (e.matches('select') && !e.labels.length));
const small = controls.filter(e => e.matches('button, select') &&
  Math.min(...Object.values(e.getBoundingClientRect().toJSON()).slice(2, 4)) < 24);
return {
  scroll: document.documentElement.scrollWidth,
  inner: innerWidth,
  out: all.filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80)),
  pale, nameless: nameless.map(e => e.outerHTML.slice(0, 80)),
  small: small.map(e => e.outerHTML.slice(0, 80)),
  ids: [...document.querySelectorAll('[id]')].map(e => e.id)
    .filter((id, k, every) => every.indexOf(id) !== k),
};
"""


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [size[0] for size in SIZES])
def test_it_fits_and_can_be_read(page, width, scheme):
    page.look(width, dict(SIZES)[width], scheme)
    for view in ("same", "images", "draw"):
        page.click(f"#tab-{view}")
        if view == "images":
            until(lambda: page.text(".summary").endswith("right"))
        if view == "draw":
            page.draw("#draw .paper", THREE)
            until(lambda: answer(page) == "This looks like 3")
        found = page.run(MEASURE)
        where = f"{view} at {width}, {scheme}"
        assert found["scroll"] <= found["inner"] and found["out"] == [], where
        assert found["pale"] == [] and found["nameless"] == [], where
        assert found["small"] == [] and found["ids"] == [], where
        assert page.run(AXE) == [], where


@pytest.mark.long
@pytest.mark.parametrize("left", [(), ("digits",), ("pairs",)])
def test_a_view_without_a_model_says_what_to_do(window, tmp_path, monkeypatch, left):
    (tmp_path / "packaged").mkdir()
    for name in left:
        shutil.copy(choices.PACKAGED / f"{name}.safetensors", tmp_path / "packaged")
    monkeypatch.setattr(choices, "PACKAGED", tmp_path / "packaged")
    lacking = {"draw": "digits", "images": "digits", "same": "pairs"}
    with serving(tmp_path) as address:
        window.open("about:blank")
        window.open(address)
        for view, needed in lacking.items():
            window.run(f"document.querySelector('#tab-{view}').click()")
            until(lambda view=view: window.text(f"#{view} .detail"))
            parts = f"[...document.querySelector('#{view}').children]"
            shown = window.run(f"return {parts}.filter(one => !one.hidden).length")
            says = "mnist_core train" in window.text(f"#{view} .detail")
            assert says == (needed not in left) and (shown == 1) == says
        assert window.run(AXE) == [] and window.complaints() == []


def test_its_colours_are_those_of_the_report():
    find = re.compile(r"--(\w+): (#[0-9a-f]{6});")
    report = (ROOT / "studies/report/templates/report.css").read_text()
    ours = (ROOT / "mnist_core/demo/page/demo.css").read_text()
    shared = dict.fromkeys(name for name, _ in find.findall(ours))
    theirs = [pair for pair in find.findall(report) if pair[0] in shared]
    known = {name for name, _ in theirs}
    assert [pair for pair in find.findall(ours) if pair[0] in known] == theirs
    assert len(known) >= 12 and json.dumps(sorted(known - shared.keys())) == "[]"
