"""Lines of columns: what has no room is left out or shortened between words, never cut."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from studies.core.formatting import duration, metric_text
from studies.report.columns import Column, Row, shortened, table_lines

COLUMNS = (
    Column(head="name", text=True),
    Column(head="best %", right=True, least=7),
    Column(head="trials", right=True, rank=2),
    Column(head="time", right=True, rank=1),
    Column(head="configuration", text=True, rank=3),
)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
words = st.text(alphabet=string.ascii_letters + "äß日本", min_size=1, max_size=30)


@st.composite
def lines(draw):
    """Return a row as the live view has them."""
    params = [f"{draw(words)}={draw(numbers):.3g}" for _ in range(draw(st.integers(0, 4)))]
    cells = (
        draw(words),
        metric_text(draw(st.sampled_from(["val_accuracy", "loss"])), draw(numbers)),
        str(draw(st.integers(0, 10**6))),
        duration(draw(st.floats(0, 1e7))),
        " ".join(params),
    )
    return Row(cells)


@given(st.lists(lines(), max_size=5), st.integers(56, 200))
def test_numbers_are_whole_and_lines_fit(rows, width):
    head, *said = [line.text for line in table_lines(COLUMNS, rows, width)]
    assert "best %" in head and "name" in head
    assert all(cell_len(line) <= width for line in (head, *said))
    for row, line in zip(rows, said, strict=True):
        assert row.cells[1] in line
        for index, column in ((2, "trials"), (3, "time")):
            assert column not in head or row.cells[index] in line
        # What is left of the parameters are whole ones.
        shown = [word for word in line.split() if "=" in word and not word.endswith("…")]
        assert set(shown) <= set(row.cells[4].split())


@given(st.lists(words | numbers.map(str), min_size=1, max_size=8), st.integers(12, 60))
def test_a_text_is_cut_between_words(parts, width):
    text = " ".join(parts)
    short = shortened(text, width)
    assert cell_len(short) <= width
    if short != text:
        assert short.endswith("…")
        kept = short.removesuffix("…").split()
        assert kept == parts[: len(kept)] or text.startswith(short.removesuffix("…").rstrip())


def test_columns_leave_by_their_rank():
    row = Row(["adam", "98.21", "12", "3:05", "lr=0.01 decay=0.1 and so on"])
    heads = [table_lines(COLUMNS, [row], width)[0].text.split() for width in (90, 46, 27, 19)]
    assert heads == [
        ["name", "best", "%", "trials", "time", "configuration"],
        ["name", "best", "%", "trials", "time", "configuration"],
        ["name", "best", "%", "trials", "time"],
        ["name", "best", "%", "time"],
    ]


@pytest.mark.parametrize("dots", ["…", "..."])
def test_a_word_alone_is_cut(dots):
    assert shortened("a" * 30, 10, dots=dots) == "a" * (10 - len(dots)) + dots
    assert shortened("short", 10) == "short"


def test_what_a_terminal_would_obey_is_shown():
    line = table_lines(COLUMNS, [Row(["a\x1b[31m", "1", "", "", "b\nc"])], 100)[1].text
    assert "\\x1b[31m" in line and "b c" in line
