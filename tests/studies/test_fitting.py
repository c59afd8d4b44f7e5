"""Tables on terminals of any width: no number is ever cut."""

import io
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from studies.core.formatting import bare_text, gap_text, mean_text
from studies.report.fitting import fitted
from studies.statistics.intervals import mean_interval

HEADS = ("optim.name", "trials", "search", "confirm", "minus best", "test", "s")
MAIN = [
    ("rmsprop", "4/1/0", "98.00", "98.38 ± 0.30", "best", "99.12", "5.5"),
    ("adam (default)", "1/0/0", "97.80", "97.65 ± 0.53", "-0.72 [-1.40, -0.05]", "98.98", "4.8"),
]
WIDE = ("n" * 51, "12/10/0", "97.80", "99.80 [99.45, 100.00]", "-10.72 [-11.40, -10.05]", "9", "1")


def printed(width, rows, **options):
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False)
    console.print(fitted(console, HEADS, rows, title="[b]study", **options))
    return file.getvalue()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("rows", [MAIN, [*MAIN, WIDE]])
@given(st.integers(60, 200))
@settings(max_examples=15)
def test_numbers_are_whole_and_lines_fit(plain, rows, width):
    text = printed(width, rows, plain=plain)
    assert "…" not in text and "[b]study" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for row in rows:
        assert all(cell in text for cell in row[1:])


@pytest.mark.parametrize("plain", [True, False])
def test_a_tight_table_comes_before_folded_names(plain):
    rows = [*MAIN, ("rmsprop, runner-up 2", "-", "97.30", "96.63 (2)", "-", "97.15", "2.2")]
    whole = max(len(line.rstrip()) for line in printed(200, rows, plain=plain).splitlines())
    # A tight table has no padding at its edges.
    lines = printed(whole - 2, rows, plain=plain).splitlines()
    assert all(any(row[0] in line and row[-1] in line for line in lines) for row in rows)


measured = st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=4)
names = st.text(alphabet=string.ascii_letters + "_.= ()日本", min_size=1, max_size=60)


@st.composite
def made_up(draw):
    """Return a row of the final table for any values of any metric."""
    metric = draw(st.sampled_from(["val_accuracy", "val_loss"]))
    scale = 1e-12 if metric == "val_accuracy" else draw(st.sampled_from([1e-12, 1e-6, 1]))
    confirm, gap = (
        mean_interval([scale * value for value in draw(measured)]) for _ in ("confirm", "gap")
    )
    counts = "/".join(str(draw(st.integers(0, 10**5))) for _ in range(3))
    return (
        draw(names),
        counts,
        bare_text(metric, confirm.mean),
        mean_text(metric, confirm) + draw(st.sampled_from(["", " (3)", " (2/5 collapsed)"])),
        gap_text(metric, gap),
        bare_text(metric, gap.mean),
        f"{draw(st.floats(0, 1e5)):.1f}",
    )


@given(st.lists(made_up(), min_size=1, max_size=4), st.integers(60, 200), st.booleans())
def test_any_number_is_whole_at_any_width(rows, width, plain):
    text = printed(width, rows, plain=plain)
    assert "…" not in text
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= width
    for row in rows:
        assert all(cell in text for cell in row[1:])
    # Nor is a number broken over two lines.
    whole = {word for line in text.splitlines() for word in line.split()}
    assert all(word in whole for row in rows for cell in row[1:] for word in cell.split())


def test_a_usual_terminal_has_a_table():
    lines = printed(80, MAIN).splitlines()
    assert any(all(cell in line for cell in MAIN[1]) for line in lines)
