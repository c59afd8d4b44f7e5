"""The HTML report: complete, self-contained, small, and safe whatever a study's texts hold."""

import dataclasses
import html
import html.parser
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_search import write_study
from toy import SPEC, make_plan
from typer.testing import CliRunner

from studies.__main__ import app
from studies.analysis import stored_study
from studies.analysis.comparison import compare
from studies.analysis.scales import Scale, names_scale, short_names, values_of
from studies.planning import lookup
from studies.report import page as page_file
from studies.report import trial_tables
from studies.report.blocks import ConfusionTable, Details, Figure, Mistakes, Table
from studies.report.page import gather
from studies.report.sections import pruning
from studies.report.sections import result as result_section
from studies.report.sections.result import forest, seeds
from studies.report.verdict_text import verdict_lines

VOID = {"meta", "link", "br", "img"}
SECTIONS = ("result", "search", "curves", "parameters", "mistakes", "time", "pruning", "reproduce")


class Page(html.parser.HTMLParser):
    """What stands in a page: tags in order, ids, addresses, text; unbalanced tags are an error."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.addresses = [], [], [], []
        self.words, self.images, self.labels, self._open = [], [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        for name in ("href", "src"):
            if name in found:
                (self.links if found[name].startswith("#") else self.addresses).append(found[name])
        if tag == "img":
            self.images.append(found.get("alt"))
        if tag == "svg":
            self.labels.append(found.get("aria-label"))
            assert found["role"] == "img"
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def plan(tmp_path):
    return make_plan(tmp_path)


def page_of(plan, trials=60, **options):
    write_study(plan, trials, **options)
    return gather(stored_study.read(plan))


def blocks(page, kind):
    return [block for block in page.blocks if isinstance(block, kind)]


def figures(page):
    """The figures by title."""
    return {figure.title: figure for figure in blocks(page, Figure)}


def table(page, caption):
    """The table whose caption begins so."""
    (found,) = [one for one in blocks(page, Table) if one.caption.startswith(caption)]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A plan, and the page of its study of 60 trials."""
    plan = make_plan(tmp_path_factory.mktemp("whole"))
    return plan, page_of(plan)


def test_the_page_holds_everything(whole):
    plan, page = whole
    found = Page(page_file.render([page]))
    result = stored_study.read(plan).result
    for line in verdict_lines(result):
        assert " ".join(line.split()) in found.text
    assert SPEC.goal in found.text
    assert [f"s1-{name}" for name in SECTIONS] == [i for i in found.ids if i.startswith("s1-")]
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert set(figures(page)) == {
        *("Optimization history", "Confirmed on fresh seeds", "Importance", "Time by choice"),
        *("Mean val_accuracy", "Timeline", "Value by optim.name"),
        *("Parallel coordinates", "sgd", "adam", "adagrad", "sgd.lr", "adam.lr", "adagrad.lr"),
    }
    assert len(found.labels) == len(figures(page)) and all(found.labels)
    assert "median *" in {row[0] for row in table(page, "Other pruners").rows}
    (missed,), (confused,) = blocks(page, Mistakes), blocks(page, ConfusionTable)
    assert "No model of it is kept" in missed.text and confused.matrix.models == 3
    assert "The test set was read 1 time" in found.text
    assert "lr = " in found.text
    assert page.phase == "finished"


def test_the_page_needs_nothing_but_itself(whole):
    text = page_file.render([whole[1]])
    found = Page(text)
    assert "script" not in found.tags
    assert all(address.startswith("data:") for address in found.addresses)
    assert "default-src 'none'" in text
    # Namespaces are not needed inline; and nothing else may name a host.
    assert not re.search(r"https?://|@import|url\(", text)


def test_validation_values_do_not_stand_under_the_heading_of_the_test(whole):
    plan, page = whole
    result = stored_study.read(plan).result
    text = page_file.render([page])
    below = text.partition(">Test</h")[2].partition("<h")[0]
    assert result_section.test_text(result) in html.unescape(below) and "<table" not in below
    above = text.partition(">Value on each fresh seed</h")[2].partition("<h")[0]
    assert seeds(result).caption in html.unescape(above)


def test_what_was_confirmed_stands_before_the_search(whole):
    """A phone shows the first columns only."""
    head = table(whole[1], "val_accuracy %, best first").head
    assert head[1:3] == ("confirm", "minus best") and head[-1] == "its best configuration"
    assert head.index("test") < head.index("search") < head.index("s")


def test_seeds_that_collapsed_stand_below_the_value():
    cell = page_file.environment().filters["cell"]
    assert cell("92.87 [65.81, 100.00] (1/3 collapsed)").endswith("(1/3 collapsed)</span>")
    assert cell("98.89 (2)") == "98.89 (2)"
    assert "<script" not in cell(f"{EVIL} ({EVIL} collapsed)")


def levels(text):
    return [int(level) for level in re.findall(r"<h([1-6])[ >]", text)]


def test_headings_are_in_order(whole):
    """No level is left out, in the page of one study and of two."""
    page = whole[1]
    for pages in ([page], [page, dataclasses.replace(page, name="other")]):
        found = levels(page_file.render(pages))
        assert found[0] == 1 and found.count(1) == 1 and len(found) > 15
        assert all(after <= before + 1 for before, after in itertools.pairwise(found))


def test_nothing_is_a_tab_stop_by_itself(whole):
    """Browsers make one of what scrolls, and only where it does."""
    assert "tabindex" not in page_file.render([whole[1]])


def test_best_tie_and_worse_differ_in_words_and_shapes(whole):
    plan, page = whole
    result = stored_study.read(plan).result
    shown = tuple(result.standing(row) for row in result.shown_rows)
    assert table(page, "val_accuracy %, best first").marks == shown and "runner-up" in shown
    standings = [result.standing(row) for row in result.rows]
    assert standings[0] == "best" and set(standings) <= {"best", "the same", "tie", "worse"}
    text = page_file.render([page])
    assert f'<th scope="row">{result.best} <span class="mark">★ best</span></th>' in text
    svg = str(figures(page)["Confirmed on fresh seeds"].svg)
    assert svg.count('class="mark diamond big best"') == 1
    assert svg.count('class="mark ring big worse"') == standings.count("worse")
    judged = result.verdicts.configurations
    compared = dataclasses.replace(judged.comparison, ties=(result.rows[-1].label,))
    judged = dataclasses.replace(judged, comparison=compared)
    verdicts = dataclasses.replace(result.verdicts, configurations=judged)
    tie = dataclasses.replace(result, verdicts=verdicts)
    drawn = forest(tie)
    assert str(drawn.svg).count('class="dots dot big complete"') == 1
    assert f"≈ {result.rows[-1].label}" in str(drawn.svg)


NAMES = st.lists(st.text("ab_", min_size=1, max_size=30), min_size=1, max_size=8, unique=True)


@given(NAMES, st.integers(6, 24))
def test_short_names_are_short(names, most):
    short = short_names(names, most)
    assert all(len(name) <= most for name in short)
    assert all(new == name for new, name in zip(short, names, strict=True) if len(name) <= most)


@pytest.mark.parametrize(
    "name", ["{:03}" + 48 * "x", 48 * "x" + "{:03}", "a" * 30 + "{:03} (default)"]
)
def test_short_names_still_differ(name):
    """What tells names apart may stand at their begin or at their end."""
    names = [name.format(number) for number in range(20)]
    assert len(set(short_names(names, 20))) == 20


def test_every_table_names_its_rows_and_columns(whole):
    text = page_file.render([whole[1]])
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert len(tables) >= 5
    for table in tables:
        assert "<caption><span>" in table and 'scope="col"' in table and 'scope="row"' in table


EVIL = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>{{ 7*7 }}'&"


def test_no_text_of_a_study_becomes_html(plan):
    spec = dataclasses.replace(plan.spec, goal=EVIL)
    page = dataclasses.replace(
        page_of(dataclasses.replace(plan, spec=spec)), name=EVIL, answer=EVIL, warnings=(EVIL,)
    )
    figure = dataclasses.replace(figures(page)["Importance"], title=EVIL, caption=EVIL)
    (first, *rest) = page.sections
    first = dataclasses.replace(first, blocks=(*first.blocks, figure))
    found = Page(page_file.render([dataclasses.replace(page, sections=(first, *rest))]))
    assert "script" not in found.tags and "x" not in found.addresses
    assert None not in found.images
    assert found.text.count("alert(2)") >= 5
    assert "{{ 7*7 }}" in found.text and "49'" not in found.text


def test_every_axis_has_a_name(whole):
    """With its unit: of the metric, of time; the parallel axes are named one by one."""
    charts = {title: str(one.svg) for title, one in figures(whole[1]).items()}
    del charts["Parallel coordinates"]
    named = {title: len(re.findall(r'class="label"', svg)) for title, svg in charts.items()}
    assert {title: n for title, n in named.items() if n != 2} == {}
    assert "val_accuracy, %" in charts["Optimization history"]
    assert re.search(r"time since the first start, (seconds|minutes)", charts["Timeline"])


def test_one_line_says_what_was_trained(whole):
    plan, page = whole
    assert page.setup in Page(page_file.render([page])).text
    epochs = f"{plan.train.epochs} epoch"
    for part in (plan.train.data.name, "225,034", epochs, "cpu", "fp32", "2026-01-01"):
        assert part in page.setup


def test_the_table_has_every_trial_and_its_state(whole):
    rows = table(whole[1], "60 trials of the search, best first").rows
    assert sorted(int(row[0]) for row in rows) == list(range(60))
    assert {"complete", "pruned"} <= {row[1] for row in rows} <= {"complete", "pruned", "failed"}


def in_orders(page):
    """The details with the trials, by their summary."""
    (search,) = (one for one in page.sections if one.name == "search")
    return {one.summary: one for one in search.blocks if isinstance(one, Details)}


def test_the_trials_can_be_read_in_four_orders(whole):
    """Without a script: each order is a table of its own, and paper has the first one only."""
    found = in_orders(whole[1])
    assert [one.again for one in found.values()] == [False, True, True, True]
    rows = {name: one.blocks[0].rows for name, one in found.items()}
    assert len({frozenset(row[:5] for row in of) for of in rows.values()}) == 1
    best, order, longest, choice = rows.values()
    complete = [float(row[2]) for row in best if row[1] == "complete"]
    assert complete == sorted(complete, reverse=True)
    assert [int(row[0]) for row in order] == list(range(60))
    seconds = [float(row[4]) for row in longest if row[4] != "-"]
    assert seconds == sorted(seconds, reverse=True)
    names = [name for name, _ in itertools.groupby(row[-1] for row in choice)]
    assert names == [str(one) for one in SPEC.choices]


def test_each_order_of_a_large_study_has_trials_of_its_own(plan, monkeypatch):
    monkeypatch.setattr(trial_tables, "LISTED", 10)
    found = in_orders(page_of(plan, 30))
    assert not any(one.again for one in found.values())  # paper has each of them
    shown = {name: {row[0] for row in one.blocks[0].rows} for name, one in found.items()}
    assert shown["The trials in their order"] == {str(n) for n in range(10)}
    assert len(set(map(frozenset, shown.values()))) == 4
    assert all("of 30 trials" in one.blocks[0].caption for one in found.values())


def test_a_page_made_at_the_end_of_a_run_leaves_out_what_takes_seconds(plan, monkeypatch):
    write_study(plan, 30)
    monkeypatch.setattr(pruning, "audit", None)  # would be called otherwise
    page = gather(stored_study.read(plan), quick=True)
    text = Page(page_file.render([page])).text
    assert "Not audited yet" in text and set(SECTIONS) == {one.name for one in page.sections}


def test_commands_in_warnings_are_code(whole):
    page = dataclasses.replace(whole[1], warnings=("`studies audit` <b>says</b> `more`",))
    text = page_file.render([page])
    assert "<code>studies audit</code> &lt;b&gt;says&lt;/b&gt; <code>more</code>" in text


def test_charts_escape_too():
    from studies.report.svg import Chart

    chart = Chart(names_scale([EVIL]), Scale(0, 1), EVIL, x_label=EVIL, y_label=EVIL, width=9000)
    chart.marks([(0, 0.5)], "dot", [EVIL])
    chart.line([(0, 0), (0, 1)], "best", title=EVIL)
    found = Page(f"<p>{chart.render()}</p>")
    assert "script" not in found.tags and "img" not in found.tags


@pytest.mark.parametrize("trials", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_many_trials_are_a_small_page(plan, trials):
    text = page_file.render([page_of(plan, trials)])
    assert len(text) < 1_000_000
    assert trials < 1000 or "of 100 draws" in Page(text).text


def test_a_study_in_its_search_says_so(plan):
    write_study(plan, 30)
    page = gather(stored_study.read(dataclasses.replace(plan, trials=50)))
    assert page.phase == "search"
    assert "Not finished: the study is in its search phase" in Page(page_file.render([page])).text


def test_a_study_with_next_to_nothing(plan):
    page = page_of(plan, 2, failed=0.0, pruned=0.0)
    assert "Importance" not in figures(page)
    Page(page_file.render([page]))


def test_nothing_but_failures(plan):
    write_study(plan, 3)
    found = stored_study.read(plan)
    lost = [
        dataclasses.replace(one, state="FAIL", value=None, curve={}, metrics={})
        for one in found.search
    ]
    from studies.report.sections.curves import curves
    from studies.report.sections.parameters import parallel, slices
    from studies.report.sections.search import history

    values = values_of("val_accuracy", "maximize", [])
    assert found.result is not None
    assert "squares at the bottom: failed" in history(lost, values).caption
    assert curves(found.result, lost, values) == slices(found.result, lost, values) == []
    assert parallel(found.result, lost, values) is None


def test_several_objectives_have_a_front(tmp_path):
    plan = lookup.find("size_search", sets={"results.folder": str(tmp_path)}).with_data("x")
    write_study(plan, 30, pruned=0.0, failed=0.0)
    found = stored_study.read(plan)
    page = gather(found)
    front = figures(page)["val_accuracy and parameters"]
    assert found.result is not None and front.svg.count("dots dot big best") == len(
        found.result.front
    )
    head = table(page, "val_accuracy %, best first").head
    assert "parameters" in head and "configuration" in head
    Page(page_file.render([page]))


def in_catalog(folder):
    plan = lookup.find("optim_search", sets={"results.folder": str(folder)})
    return plan.with_data("130df69a16dc650c")


def test_the_command_writes_both_files(tmp_path):
    write_study(in_catalog(tmp_path), 40)
    where = ["--set", f"results.folder={tmp_path}"]
    done = CliRunner().invoke(app, ["report", "optim_search", *where], catch_exceptions=False)
    assert done.exit_code == 0 and done.output.startswith("report: ")
    folder = tmp_path / "optim_search"
    assert "optim_search" in Page((folder / "report.html").read_text()).text
    assert (folder / "report.md").read_text().startswith("# optim_search")


def test_several_studies_are_one_page(tmp_path):
    for side, shift in (("a", 0.0), ("b", -0.05)):
        write_study(in_catalog(tmp_path / side), 30, shift=shift)
    out = tmp_path / "both.html"
    names = [str(tmp_path / side / "optim_search") for side in "ab"]
    done = CliRunner().invoke(app, ["report", *names, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    found = Page(out.read_text())
    assert {"s1", "s2", "s1-result", "s2-result"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert found.text.count("Studies compared") == 1
    # The verdict of `compare`, and both on one axis.
    a, b = (stored_study.read(in_catalog(tmp_path / side)) for side in "ab")
    assert compare(a, b).verdict.sentence in found.text and "compare" in found.ids
    assert "Confirmed values of all studies on one axis" in found.labels
    assert "The best value so far of each study" in found.labels
    assert "B less A with its interval, for each thing that both measured" in found.labels
    # No figure with an axis of its own stands before them.
    assert "<svg" not in out.read_text().partition('id="compare"')[0]
    assert found.text.index("A: optim_search") < found.text.index("B: optim_search")
    assert out.with_suffix(".md").read_text().count("# optim_search") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["optim_serch"], "did you mean 'optim_search'"),
        (["./nowhere"], "is not the folder of a study"),
        (["optim_search", "siamese_search"], "--out: name a file"),
        (["optim_search", "optim_search", "--out", "x.html"], "each study once"),
        (["optim_search", "--out", "x.pdf"], "ends in .html"),
        (["optim_search", "--set", "results.folder=/nowhere"], "no study"),
    ],
)
def test_mistakes_are_one_line(arguments, said):
    done = CliRunner().invoke(app, ["report", *arguments])
    assert done.exit_code != 0
    assert said in f"{done.output} {done.exception}"
