"""What charts draw: nothing off the chart as if it lay on its edge, nothing invisible."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_search import write_study
from toy import make_plan

from studies.analysis import stored_study
from studies.analysis.scales import Scale, values_of
from studies.report.clipping import clipped
from studies.report.overview import print_status
from studies.report.sections.curves import curves
from studies.report.sections.parameters import BEST, LINES, parallel
from studies.report.sections.search import history
from studies.report.sections.time import cost
from studies.report.svg import Chart
from studies.report.table import markdown

PLACES = st.lists(st.tuples(*[st.floats(-3, 4, width=16)] * 2), min_size=1, max_size=8)
EDGE = 1e-9


@given(PLACES)
def test_a_line_is_cut_where_it_leaves(places):
    pieces = clipped(places)
    for x, y in (place for piece in pieces for place in piece):
        assert -EDGE <= x <= 1 + EDGE and -EDGE <= y <= 1 + EDGE
    inside = [place for place in places if all(0 <= one <= 1 for one in place)]
    drawn = [place for piece in pieces for place in piece]
    assert all(place in drawn for place in inside)
    if len(inside) == len(places):
        assert pieces == [places]


def test_what_passes_by_is_not_drawn():
    assert clipped([(0.0, -1.0), (1.0, -0.1)]) == []
    assert clipped([(-1.0, 0.5), (-0.1, 0.5)]) == []
    assert clipped([(-0.5, 0.0), (0.5, 1.0)]) == [[(0.0, 0.5), (0.5, 1.0)]]


def test_many_trials_are_no_solid_mass(lucky):
    """Of two thousand trials some lines are drawn, and dots are small."""
    (one, *_) = lucky.search
    many = [dataclasses.replace(one, number=n, value=n / 2000) for n in range(2000)]
    values = values_of("val_accuracy", "maximize", [record.value for record in many])
    figure = parallel(lucky.result, many, values)
    assert str(figure.svg).count("<polyline") == LINES + BEST <= 200
    assert f"the best {BEST} stand out" in figure.caption
    assert f"{LINES + BEST} of 2000 are drawn" in figure.caption
    assert 'class="dots dot complete many"' in str(history(many, values).svg)


def heights(svg, kind):
    """The heights in pixels at which lines or marks of a kind are drawn."""
    paths = re.findall(rf'class="{kind}" d="([^"]*)"', str(svg))
    return [float(y) for path in paths for y in re.findall(r"[ML][\d.-]+ ([\d.-]+)", path)]


def test_a_line_below_the_chart_is_not_drawn_along_its_edge():
    chart = Chart(Scale(0, 4), Scale(10, 20), "x")
    chart.line([(0, 1), (1, 2), (2, 3)], "low one")
    chart.line([(0, 0), (4, 20)], "rising")
    svg = chart.render()
    assert heights(svg, "line low one") == []
    assert len(heights(svg, "line rising")) == 2
    assert 'd="M250 258' in str(svg)  # it comes in half way


def test_a_line_of_one_point_is_a_dot():
    chart = Chart(Scale(0, 4), Scale(10, 20), "x")
    chart.lines([[(1, 15)], [(2, 30)]], "complete")
    assert len(heights(chart.render(), "dots complete")) == 1


def test_marks_off_the_chart_point_to_where_they_lie():
    chart = Chart(Scale(0, 4), Scale(10, 20), "x")
    chart.marks([(1, 5), (2, 15), (3, 25)], "cross pruned", ["a", "b", "c"])
    drawn = re.findall(r'class="mark (\w+) pruned" d="([^"]*)"', str(chart.render()))
    assert [kind for kind, _ in drawn] == ["low", "high", "cross"]
    assert "4 6z" in drawn[0][1] and "4 -6z" in drawn[1][1]


@pytest.fixture(scope="module")
def lucky(tmp_path_factory):
    """A study in which the default of adam is the best of its choice, so it has two labels."""
    plan = make_plan(tmp_path_factory.mktemp("lucky"))
    write_study(plan, 3, failed=0.0, pruned=0.0)
    found = stored_study.read(plan)
    assert found.result.confirm["adam"] == found.result.confirm["adam (default)"]
    return found


def test_a_confirmation_under_two_labels_is_counted_once(lucky):
    result = lucky.result
    assert [record.number for record in result.confirmed] == list(range(9))
    seconds = sum(record.seconds for record in lucky.confirm)
    assert "32 s of confirm trainings" in markdown(result) and round(seconds) == 32
    adam = sum(r.seconds for r in lucky.confirm if r.params["optim.name"] == "adam")
    assert f"adam, confirm: {adam:.0f} s" in str(cost(result, lucky.search).svg)


def test_status_names_what_was_confirmed_first(lucky, capsys):
    """The best seed of the search is one seed's; the verdict is of means."""
    print_status(lucky)
    text = " ".join(capsys.readouterr().out.split())
    row = lucky.result.best_row
    confirmed, searched = text.index("best confirmed"), text.index("best in search")
    assert confirmed < searched
    assert f"{100 * row.confirm.mean:.2f} " in text[confirmed:searched]
    assert "on 3 seeds" in text[confirmed:searched]
    assert "on one seed, validation images trial" in text[searched:]


def test_a_configuration_is_not_told_apart_from_itself(lucky):
    rows = {row.label: row for row in lucky.result.rows}
    default = rows["adam (default)"]
    assert rows["adam"].gap_to_default is None is default.gap_to_default
    one, other = (rows[label] for label in ("adam", "adam (default)"))
    if lucky.result.best in ("adam", "adam (default)"):
        assert one.gap is None is other.gap
    else:
        assert one.gap == other.gap is not None


def test_curves_of_one_report_are_seen(lucky):
    values = values_of("val_accuracy", "maximize", [0.9, 0.95])
    short = [dataclasses.replace(record, curve={1: 0.91}) for record in lucky.search]
    for figure in curves(lucky.result, short, values):
        assert len(heights(figure.svg, "dots complete")) == 1
    low = [dataclasses.replace(record, curve={1: 0.1, 2: 0.2}) for record in lucky.search]
    for figure in curves(lucky.result, low, values):
        assert heights(figure.svg, "line complete") == []
        assert "1 ends off the chart" in figure.caption
        assert len(heights(figure.svg, "mark low complete")) == 1  # a triangle says where it is
