"""What a chart draws can be told apart by every eye: in grey and without some colours."""

import itertools
import re

import pytest
from colours import SIGHTS, distance
from made_search import write_study
from test_report_browser import CSS, palettes
from toy import make_plan

from studies.analysis import stored_study
from studies.report.blocks import Figure
from studies.report.page import gather

APART = 20
"""The least distance, in CIE L*a*b*, of two colours that alone tell two marks apart."""
WIDER = 1.5
"""The least ratio of two widths that tell two marks apart."""
DRAWN = re.compile(r'<(path|polyline) class="([^"]+)" (?:d|points)="([^"]*)"')
APART_BY_PLACE = {"grid", "axis", "area", "hatch", "bar"}
"""The ground, and bars, whose patterns ``test_report_figures`` compares."""


def css_rules():
    """Yield the selectors of single elements in ``report.css``, and what they declare."""
    text = re.sub(r"/\*.*?\*/", "", CSS.read_text(), flags=re.DOTALL)
    text = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", text)
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
        told = dict(re.findall(r"([\w-]+): ([^;]+)", body))
        for selector in selectors.split(","):
            yield selector.strip().removeprefix("svg "), told


RULES = list(css_rules())


def matches(selector, tag, classes):
    parts = re.findall(r'^\w+|\.[\w-]+|\[class\*=" \w+"\]', selector)
    if not parts or "".join(parts) != selector:
        return False
    return all(
        part[1:] in classes.split()
        if part[0] == "."
        else part[10:-2] in classes
        if part[0] == "["
        else part == tag
        for part in parts
    )


def style(tag, classes, colours):
    """What ``report.css`` says of an element: its colour, width, dashes and filling."""
    found = {}
    told = [(len(re.findall(r"[.\[]", s)), rule) for s, rule in RULES if matches(s, tag, classes)]
    for _, rule in sorted(told, key=lambda one: one[0]):
        found |= rule

    def value(name, default):
        text = found.get(name, default)
        while named := re.fullmatch(r"var\(--([\w-]+)\)", text):
            text = found.get(f"--{named[1]}") or colours[named[1]]
        return text

    return {
        "colour": value("stroke", "none"),
        "wide": float(value("stroke-width", "1")),
        "dashes": value("stroke-dasharray", "none"),
        "fill": value("fill", "none"),
    }


def shape(tag, drawn):
    """The kind of the first piece of a path: its letters; all lines are of one kind."""
    letters = re.sub(r"[^A-Za-z]", "", "M" + drawn.split("M")[1]) if tag == "path" else "ML"
    return re.sub("L+", "L", letters)


def drawn_in(figure, colours):
    """The different marks and lines of a figure: by its classes, the shape and the style."""
    found = {}
    for tag, classes, path in DRAWN.findall(str(figure.svg)):
        if classes.split()[0] not in APART_BY_PLACE:
            found[classes, shape(tag, path)] = style(tag, classes, colours)
    return found


def told_apart(one, other):
    """Whether two are told apart by more than their colour, or by it for every eye."""
    (_, shape_one), a = one
    (_, shape_other), b = other
    wide = sorted((a["wide"], b["wide"]))
    return (
        shape_one != shape_other
        or a["dashes"] != b["dashes"]
        or (a["fill"] == "none") != (b["fill"] == "none")
        or wide[1] >= WIDER * wide[0]
        or all(distance(a["colour"], b["colour"], sight) >= APART for sight in SIGHTS)
    )


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    plan = make_plan(tmp_path_factory.mktemp("marks"))
    write_study(plan, 60)
    page = gather(stored_study.read(plan))
    return {one.title: one for one in page.blocks if isinstance(one, Figure)}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_marks_of_each_chart_are_told_apart(figures, theme):
    colours, same, seen = palettes()[theme], [], 0
    for title, figure in figures.items():
        marks = drawn_in(figure, colours)
        seen += len(marks)
        for one, other in itertools.combinations(marks.items(), 2):
            if not told_apart(one, other):
                same.append((title, one[0], other[0]))
    assert same == [] and seen > 30


def test_what_only_a_colour_tells_apart_is_found():
    """The test itself: red and green of the same light are the same to many."""
    like = {"wide": 2.0, "dashes": "none", "fill": "none"}
    red, green = ({**like, "colour": colour} for colour in ("#c0392b", "#5d7f2b"))
    assert not told_apart((("line a", "ML"), red), (("line b", "ML"), green))
    assert told_apart((("line a", "ML"), red), (("mark b", "Mlml"), green))
    assert told_apart((("line a", "ML"), red), (("line b", "ML"), {**green, "dashes": "4 2"}))
    blue, yellow = ({**like, "colour": colour} for colour in ("#00337a", "#ffe680"))
    assert told_apart((("line a", "ML"), blue), (("line b", "ML"), yellow))
