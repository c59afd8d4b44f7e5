"""Earlier conclusions judged again: the verdicts, and that no figure comes from nowhere."""

import sys

import pytest
from test_faults import BENCHMARKS

sys.path.append(str(BENCHMARKS))

from findings import (
    CLAIMS,
    FAILS,
    HOLDS,
    MISSING,
    UNKNOWN,
    Claim,
    against,
    judged,
    page,
    presets,
    reached,
    tiny_difference,
)

from studies import catalog

TABLE = """\
| preset | variant | metric | claim (test) | validation | test | test - claim | n | s |
|---|---|---|--:|--:|--:|--:|--:|--:|
| `one` | a | accuracy % | 99.00 | 98.0 ± 0.10 | 98.00 ± 0.10 | -1.00 ± 0.10 | 3 | 9.0 |
| `one` | b | accuracy % | - | 97.0 ± 0.10 | 97.00 ± 0.20 | - | 3 | 9.0 |
| `two` | two | accuracy % | 98.00 | 99.0 ± 0.10 | 99.00 ± 0.10 | +1.00 ± 0.10 | 3 | 9.0 |
"""


def facts(gap, *, ties=(), sd=0.001, images=0.0):
    def row(label, mean):
        return {"label": label, "mean": mean, "values": {str(s): mean for s in range(4)}}

    return {
        "best": "a",
        "ties": list(ties),
        "noisy": [],
        "rows": [row("a", 0.98), row("b", 0.98 - gap), row("c", None)],
        "pool": {
            "variance": sd**2,
            "freedom": 20.0,
            "outside": [],
            "own": {"a": sd**2, "b": sd**2},
            "images": {"a": images, "b": images},
        },
    }


def claim(first, second=""):
    return Claim(text="x", study="optim_search", first=first, second=second)


@pytest.mark.parametrize(
    ("first", "second", "gap", "verdict"),
    [
        ("a", "b", 0.01, HOLDS),
        ("b", "a", 0.01, FAILS),
        ("a", "b", 0.001, UNKNOWN),
        ("a", "c", 0.01, UNKNOWN),
        ("a", "", 0.01, HOLDS),
        ("b", "", 0.01, FAILS),
    ],
)
def test_of_choices(first, second, gap, verdict):
    assert judged(claim(first, second), facts(gap), 1).verdict == verdict


def test_a_tie_is_not_the_best():
    assert judged(claim("a"), facts(0.01, ties=["b"]), 1).verdict == UNKNOWN
    assert judged(claim("b"), facts(0.01, ties=["b"]), 1).verdict == UNKNOWN


def test_images_and_further_claims_make_it_careful():
    one, found = claim("a", "b"), facts(0.0018)
    assert judged(one, found, 1).verdict == HOLDS
    assert judged(one, found, 8).verdict == UNKNOWN
    assert judged(one, facts(0.0018, images=1e-6), 1).verdict == UNKNOWN


def test_what_was_not_run_has_no_figure():
    found = judged(claim("a"), None, 1)
    assert (found.verdict, found.figure) == (MISSING, "-")


def test_of_presets():
    first, second, third = presets(TABLE)
    assert (first.n, first.gap, second.gap) == (3, (-1.0, 0.1), None)
    assert (reached(first).verdict, reached(third).verdict) == (FAILS, HOLDS)
    assert against(first, second).verdict == HOLDS
    assert against(second, first).verdict == FAILS


def test_seven_hundredths_of_a_point_of_10_000_images_are_nothing():
    assert tiny_difference(99.11, 99.04).verdict == UNKNOWN
    assert tiny_difference(99.11, 98.0).verdict == HOLDS


@pytest.mark.parametrize("one", CLAIMS, ids=lambda one: one.text[:30])
def test_each_claim_is_about_choices_of_its_study(one):
    choices = list(map(str, catalog.get(one.study).choices))
    assert {one.first, one.second or one.first} <= set(choices)


def test_without_results_nothing_is_claimed(tmp_path):
    """No study and no preset has been run."""
    lines = [row for row in page(tmp_path, "").splitlines() if row.endswith("` |")]
    assert len(lines) > len(CLAIMS)
    for line in lines:
        told = "interval of 10,000 images alone" in line or "presets run" in line.split("|")[3]
        assert told or "| - | not run yet |" in line, line
