"""The drawings of the documentation: contrast, light and dark, and told apart by every eye."""

import re
from pathlib import Path

import pytest
from colours import SIGHTS, contrast, distance

DOCS = Path(__file__).parents[1] / "docs"
DRAWINGS = [*sorted((DOCS / "pictures").glob("*.svg")), DOCS / "architecture.svg"]
SURFACES = {"card", "box", "soft", "none", "band", "svg"}
"""Classes whose filling is a ground for text and lines."""
PAPERS = {"card", "band", "svg"}
"""Those on which marks are drawn."""


def rules(css):
    """The fillings, strokes and grounds by class, or by tag."""
    found = {}
    for name, body in re.findall(r"(?<![\w-])\.?(\w+)(?:, \.\w+)* \{([^}]*)\}", css):
        told = dict(re.findall(r"([\w-]+): (#[0-9a-f]{3,6})", body))
        found.setdefault(name, {}).update({key: _long(colour) for key, colour in told.items()})
    return found


def _long(colour):
    return colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])


def themes(path):
    css = re.search(r"<style>(.*?)</style>", path.read_text(), re.DOTALL)[1]
    css = re.sub(r"\.(\w+), \.(\w+) (\{[^}]*\})", r".\1 \3 .\2 \3", css)
    light, _, dark = css.partition("@media (prefers-color-scheme: dark) {")
    day, night = rules(light), rules(dark)
    both = {name: {**day.get(name, {}), **night.get(name, {})} for name in day | night}
    return {"light": day, "dark": both}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.name)
def test_contrast(path, theme):
    """WCAG 2.2 AA: 4.5 for text, 3 for what is drawn."""
    found = themes(path)[theme]
    grounds = {
        name: told.get("fill") or told.get("background")
        for name, told in found.items()
        if name in SURFACES and told.keys() & {"fill", "background"}
    }
    papers = [colour for name, colour in grounds.items() if name in PAPERS]
    assert papers
    ink = found["text"].get("fill") or found["svg"]["color"]
    texts = [ink, *(told["fill"] for name, told in found.items() if name == "small")]
    for text in texts:
        for name, ground in grounds.items():
            assert contrast(text, ground) >= 4.5, (text, name)
    for name, told in found.items():
        drawn = [
            told.get("stroke"),
            None if name in {*SURFACES, "text", "small"} else told.get("fill"),
        ]
        for colour in filter(None, drawn):
            for paper in papers:
                assert contrast(colour, paper) >= 3, (name, colour, paper)


def test_the_intervals_are_told_apart_by_more_than_colour():
    """Blue and red have the same light: the worse one is a square, and words say so."""
    text = (DOCS / "pictures" / "intervals.svg").read_text()
    kinds = {found[2]: found[1] for found in re.finditer(r'<(\w+) class="(dot|baddot)"', text)}
    assert kinds == {"dot": "circle", "baddot": "rect"}
    assert "shown to be worse" in text
    colours = [
        themes(DOCS / "pictures" / "intervals.svg")["light"][name] for name in ("dot", "baddot")
    ]
    apart = [distance(colours[0]["fill"], colours[1]["fill"], sight) for sight in SIGHTS]
    assert min(apart) < 20 < max(apart)  # so the shapes are needed
