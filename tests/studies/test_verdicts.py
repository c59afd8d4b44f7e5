"""The verdicts on configurations and choices: by hand, against scipy, and what never may happen."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from studies.statistics.estimates import Estimate, Part
from studies.statistics.luck import BETTER_OF_TWO, bootstrap_luck, search_luck
from studies.statistics.multiple import against, compare, intervals
from studies.statistics.pooled import accuracy_scales
from studies.statistics.verdicts import (
    DEFAULT_LEVEL,
    LEVEL,
    Conditions,
    judge_choices,
    judge_configurations,
    look_share,
)

SEEDS = (7, 3, 5, 11)


def table(rows):
    return {name: dict(zip(SEEDS, values, strict=False)) for name, values in rows.items()}


def drawn(seed, means, sd=0.25, n=4):
    draw = np.random.default_rng(seed).normal
    return {
        chr(97 + i): {s: float(mean + draw(0, sd)) for s in range(n)}
        for i, mean in enumerate(means)
    }


def standing(judgement):
    """Return for each choice 2: sole best, 1: may be best, 0: cannot be told, -1: worse."""
    found = judgement.comparison
    ranks = dict.fromkeys(found.ties, 1) | dict.fromkeys(found.unclear, 0)
    return ranks | dict.fromkeys(found.worse, -1) | {found.best: 2 if found.sole else 1}


GAP = stats.t.isf(LEVEL / 4, 6) * math.sqrt(2 * 1.0 / 4)
"""Two choices, four seeds, variance 1: the two-sided t test at half the level."""


@pytest.mark.parametrize(("gap", "sole"), [(GAP + 0.01, True), (GAP - 0.01, False)])
def test_two_choices_are_told_apart_as_by_scipys_t_test(gap, sole):
    one = np.array([-1.5, -0.5, 0.5, 1.5]) / math.sqrt(5 / 3)
    judged = judge_configurations(table({"a": one + gap, "b": one[::-1]}))
    p_value = stats.ttest_ind(one + gap, one).pvalue
    assert judged.comparison.sole is sole is bool(p_value < LEVEL / 2)
    assert judged.comparison.ties == (() if sole else ("b",))


def test_against_the_default_as_scipys_dunnett():
    values = drawn(4, [0.9, 0.3, 0.2, 0.0])
    judged = judge_configurations(values, Conditions(default="d"))
    groups = [np.array(list(values[name].values())) for name in "abcd"]
    found = stats.dunnett(*groups[:3], control=groups[3], alternative="greater", random_state=2)
    assert set(judged.gains) == set("abc")
    lows = found.confidence_interval(1 - DEFAULT_LEVEL / 2).low
    # A gain is claimed with the choice's own variance where that is larger, which scipy does not.
    usual = [i for i, n in enumerate("abc") if judged.pool.own[n] <= judged.pool.variance]
    assert usual
    for number in usual:
        assert judged.gains["abc"[number]].low == pytest.approx(lows[number], abs=0.01)
    assert judged.gains["a"].better and not judged.gains["c"].better


def test_the_level_of_all_looks_is_spent_once():
    assert sum(map(look_share, (4, 8, 12, 16))) <= 1
    for seeds, share in ((1, 2), (4, 2), (5, 6), (8, 6), (9, 18), (16, 18), (17, 54)):
        assert look_share(seeds) == pytest.approx(1 / share)
    assert sum(look_share(4 * 2**stage) for stage in range(40)) <= 1


numbers = st.floats(-5, 5).map(lambda x: round(x, 2))
rows = st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=2, max_size=7).map(
    lambda found: {chr(97 + i): dict(enumerate(row)) for i, row in enumerate(found)}
)


@settings(max_examples=150)
@given(rows, st.randoms())
def test_order_shift_and_direction_change_nothing(values, random):
    plain = judge_configurations(values, Conditions(default="a"))
    names = list(values)
    random.shuffle(names)
    assert judge_configurations(
        {n: values[n] for n in names}, Conditions(default="a")
    ).comparison == (plain.comparison)
    mirrored = {n: {s: -v for s, v in of.items()} for n, of in values.items()}
    turned = judge_configurations(mirrored, Conditions(default="a", direction="minimize"))
    assert turned.comparison == plain.comparison and turned.gains == plain.gains
    for name, one in turned.intervals.items():
        assert (one.low, one.high) == (-plain.intervals[name].high, -plain.intervals[name].low)


@settings(max_examples=150)
@given(rows, st.floats(-50, 50))
def test_a_shift_of_all_values_changes_no_standing(values, shift):
    assume(len({tuple(of.values()) for of in values.values()}) == len(values))
    moved = {n: {s: v + shift for s, v in of.items()} for n, of in values.items()}
    means = sorted(sum(of.values()) for of in values.values())
    assume(min(np.diff(means)) > 1e-6)
    plain, found = judge_configurations(values), judge_configurations(moved)
    assume(plain.pool.outside == found.pool.outside)  # equal variances, up to rounding
    assert standing(plain) == standing(found)


@settings(max_examples=150)
@given(rows, st.sampled_from("ab"), st.floats(0.01, 5))
def test_better_values_never_lower_a_standing(values, name, by):
    raised = values | {name: {s: v + by for s, v in values[name].items()}}
    before, after = judge_configurations(values), judge_configurations(raised)
    assume(before.pool.outside == after.pool.outside)
    if name in before.collapsed:
        return
    assert standing(after)[name] >= standing(before)[name] or name in after.pool.outside


@settings(max_examples=100)
@given(rows)
def test_margins_agree_with_the_standing(values):
    """Hsu's intervals: below 0 only for what may not be best, above 0 only for what may be."""
    judged = judge_configurations(values)
    for name, margin in judged.comparison.margins.items():
        assert margin.low - 1e-9 <= margin.mean and margin.low <= 0 <= margin.high
        if name in judged.comparison.worse:
            assert margin.high == 0
        elif name not in judged.pool.outside:
            assert margin.mean <= margin.high + 1e-9


@settings(max_examples=200)
@given(rows)
def test_none_is_worse_while_a_lower_one_is_a_tie(values):
    judged = judge_configurations(values)
    means = {n: math.fsum(of.values()) / 4 for n, of in values.items()}
    ties = [means[n] for n in judged.comparison.ties]
    worse = [n for n in judged.comparison.worse if n not in judged.pool.outside]
    assert not ties or all(means[n] <= min(ties) + 1e-9 for n in worse)


@settings(max_examples=100)
@given(st.data())
def test_fewer_seeds_keep_the_tie_coherent(data):
    """Also with numbers of seeds that differ, and with the images' part."""
    names = data.draw(st.lists(st.sampled_from("abcdef"), min_size=2, unique=True))
    estimates = {
        name: Estimate(
            mean=data.draw(numbers),
            n=(n := data.draw(st.integers(1, 8))),
            parts=(Part(variance=1 / n, freedom=20, source="seeds"),),
        )
        for name in names
    }
    found = compare(estimates, 0.05)
    lowest = min((estimates[n].mean for n in found.ties), default=math.inf)
    assert all(estimates[n].mean <= lowest for n in found.worse)
    assert {found.best, *found.ties, *found.unclear, *found.worse} == set(names)


def test_a_collapsed_seed_is_named_and_wins_nothing():
    values = drawn(1, [98.0, 98.1, 98.2, 98.0])
    values["c"][2] = 11.35
    judged = judge_configurations(values)
    assert str(judged.collapsed["c"]) == "1 of 4 seeds collapsed"
    assert judged.collapsed["c"].mean == pytest.approx(98.2, abs=0.4)
    assert "c" not in standing(judged) and "c" not in judged.intervals
    assert math.sqrt(judged.pool.variance) < 0.5
    everywhere = {n: of | {0: 11.35} for n, of in drawn(1, [98.0, 98.1], n=5).items()}
    everywhere["b"][1] = 11.35
    fallen = judge_configurations(everywhere | {"c": dict.fromkeys(range(5), 60.0)})
    assert fallen is not None


@pytest.mark.parametrize(("seeds", "choices"), [(2, 2), (2, 4), (3, 4)])
@pytest.mark.parametrize("step", [0.0, 1 / 5000])
def test_sound_seeds_are_not_called_collapsed(seeds, choices, step):
    """Not even where few seeds of few choices happen to agree."""
    rng, found = np.random.default_rng(5), 0
    for _ in range(300):
        drawn_now = rng.normal(0.985, 0.002, (choices, seeds))
        if step:
            drawn_now = np.round(drawn_now / step) * step
        values = {str(i): dict(enumerate(row)) for i, row in enumerate(drawn_now.tolist())}
        found += bool(judge_configurations(values, Conditions(step=step)).collapsed)
    assert found <= (0 if step else 0.05 * 300)


def test_a_collapse_is_seen_with_two_seeds_of_two_choices():
    values = {"a": {0: 0.982, 1: 0.984}, "b": {0: 0.98, 1: 0.1}}
    assert set(judge_configurations(values, Conditions(step=1 / 5000)).collapsed) == {"b"}


def test_one_that_stands_out_is_judged_by_its_own_spread():
    values = drawn(2, [98.0] * 8)
    values["wild"] = {0: 96.0, 1: 99.9, 2: 97.2, 3: 99.7}
    judged = judge_configurations(values)
    assert judged.pool.outside == ("wild",) and "wild" not in judged.pool.members
    assert standing(judged)["wild"] == 0 and judged.comparison.best != "wild"
    assert judged.intervals["wild"].half_width > 5 * judged.intervals["a"].half_width


def test_failed_and_stopped_ones_are_not_the_best():
    values = drawn(3, [98.0, 98.1, 98.2])
    lucky = values | {"lucky": {0: 99.9}}
    judged = judge_configurations(lucky, Conditions(failed=["lucky"]))
    assert judged.comparison.best != "lucky"
    assert judge_configurations(lucky).comparison.best == "lucky"
    raced = judge_configurations(
        values | {"slow": {0: 97.0, 1: 97.1}}, Conditions(stopped=["slow"])
    )
    assert "slow" not in standing(raced) and "slow" in raced.intervals
    assert judge_configurations({"a": {}}) is None
    assert judge_configurations({"a": {1: 0.5}}, Conditions(stopped=["a"])) is None


def test_single_seeds_tell_nothing_apart():
    judged = judge_configurations({"a": {0: 0.99}, "b": {0: 0.1}}, Conditions(default="b"))
    assert not judged.comparison.sole and standing(judged)["b"] >= 0
    assert math.isinf(judged.intervals["a"].half_width) and not judged.gains["a"].better


def test_what_is_read_in_steps_has_an_error():
    """Equal values on all seeds: the error is that of rounding, as for a single interval."""
    values = table({"a": [0.981] * 4, "b": [0.980] * 4})
    assert judge_configurations(values).intervals["a"].half_width == 0
    judged = judge_configurations(values, Conditions(step=1e-3))
    assert math.sqrt(judged.pool.variance) == pytest.approx(1e-3 / math.sqrt(12))
    assert judged.intervals["a"].half_width > 0
    assert judge_configurations(values, Conditions(step=4e-3)).comparison.ties == ("b",)


def test_intervals_are_wider_than_single_ones_and_hold_together():
    values = drawn(5, [0.0] * 9)
    estimates = {
        n: Estimate(
            mean=float(np.mean(list(of.values()))),
            n=4,
            parts=(Part(variance=0.25**2 / 4, freedom=math.inf),),
        )
        for n, of in values.items()
    }
    # Independent with a known error: Sidak's level for each.
    sidak = stats.norm.isf((1 - 0.95 ** (1 / 9)) / 2) * 0.125
    for one in intervals(estimates, 0.05).values():
        assert one.half_width == pytest.approx(sidak, rel=1e-4)


def test_luck_ties_what_seeds_alone_tell_apart():
    offsets = np.array([-0.1, 0.05, 0.1, -0.05])
    values = table({"a": 98 + offsets, "b": 97 - offsets, "c": 96.9 + offsets, "d": 96.8 - offsets})
    means = {n: sum(of.values()) / 4 for n, of in values.items()}
    same = {n: (mean, mean - 0.02) for n, mean in means.items()}
    apart = {n: (mean, mean - 0.9) for n, mean in means.items()}
    assert judge_configurations(values).comparison.sole
    assert judge_choices(values, same).comparison.sole
    assert not judge_choices(values, apart).comparison.sole
    assert judge_choices(values, {}) is None and judge_choices(values, {"a": (1.0, 0.5)}) is None
    assert search_luck(apart).variance == pytest.approx(0.9**2 / 2)


def test_a_choice_with_more_luck_than_usual_is_unclear_not_worse():
    offsets = np.array([-0.1, 0.05, 0.1, -0.05])
    values = table(
        {n: m + offsets for n, m in zip("abcde", (98.0, 97.9, 97.8, 97.9, 96.5), strict=True)}
    )
    pairs = {n: (m := sum(of.values()) / 4, m - 0.15) for n, of in values.items()}
    assert standing(judge_choices(values, pairs))["e"] == -1
    pairs["e"] = (pairs["e"][0], pairs["e"][0] - 3)
    assert standing(judge_choices(values, pairs))["e"] == 0


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_bootstrap_is_the_one_of_resampling(direction):
    values = [0.2, 0.9, 0.5, 0.7, 0.85]
    drawn = np.random.default_rng(0).choice(values, (200_000, 5))
    best = drawn.max(axis=1) if direction == "maximize" else drawn.min(axis=1)
    assert bootstrap_luck(values, direction=direction) == pytest.approx(best.std(), rel=0.01)
    assert math.isnan(bootstrap_luck([0.5]))


@pytest.mark.parametrize(("seeds", "choices"), [(4, 9), (8, 3)])
def test_equal_choices_are_seldom_told_apart(seeds, choices):
    """A rough check; the rates are in benchmarks/verdicts.py."""
    wrong = better = 0
    for study in range(200):
        judged = judge_configurations(
            drawn(study, [0.0] * choices, n=seeds), Conditions(default="a")
        )
        wrong += judged.comparison.sole or "b" in judged.comparison.worse
        better += any(gain.better for gain in judged.gains.values())
    assert wrong <= 14 and better <= 8


def test_unequal_errors_against_a_control_by_simulation():
    """Five choices with three seeds, a control with nine: the bound holds in 97.5 %."""
    draw = np.random.default_rng(3)
    missed = 0
    for _ in range(600):
        spread = draw.chisquare(18) / 18
        estimates = {
            str(i): Estimate(
                mean=draw.normal(0, 1 / math.sqrt(n)),
                n=n,
                parts=(Part(variance=spread / n, freedom=18, source="seeds"),),
            )
            for i, n in enumerate([9, 3, 3, 3, 3, 3])
        }
        missed += any(one.better for one in against(estimates, "0", 0.025).values())
    assert missed <= 600 * 0.025 + 3 * math.sqrt(600 * 0.025)


def test_accuracies_far_below_the_best_do_not_widen_its_interval():
    """As after one epoch: the poor choices spread 30 times as much as the best."""
    draw = np.random.default_rng(4)
    truth = np.array([0.97, 0.968, 0.96, 0.955, 0.8, 0.7, 0.6])
    spread = 0.1 * truth * (1 - truth)
    drawn = truth[:, None] + spread[:, None] * draw.standard_normal((7, 3))
    values = {str(i): dict(enumerate(row)) for i, row in enumerate(drawn.tolist())}
    judged = judge_configurations(values, Conditions(step=1 / 5000))
    assert judged.intervals["0"].half_width < 0.015 < judged.intervals["6"].half_width
    assert {"4", "5", "6"} <= set(judged.comparison.worse) and not judged.collapsed
    assert judged.pool.scales["0"] == judged.pool.scales["3"] == 1 < judged.pool.scales["4"]
    assert judged.pool.variance_of("6") > 20 * judged.pool.variance
    # A metric that is not an accuracy is not scaled.
    assert set(judge_configurations(values).pool.scales.values()) == {1.0}


@pytest.mark.parametrize("best", [1.0, 0.9998, 0.5])
def test_scales_are_finite_at_the_ends(best):
    values = {"a": {0: best, 1: best}, "b": {0: 0.1, 1: 0.2}, "c": {0: 0.0, 1: 0.0}}
    scales = accuracy_scales(values, 1 / 5000)
    assert scales["a"] == 1 and all(0 < scale < 1e4 for scale in scales.values())


def test_the_better_of_two_varies_less_than_either():
    """Against the variance of the larger of two normal numbers, simulated."""
    draw = np.random.default_rng(0).standard_normal((200_000, 2))
    assert draw.max(axis=1).var() == pytest.approx(BETTER_OF_TWO, rel=0.01)
    pairs = {"a": (0.5, 0.3), "b": (0.2, 0.25), "c": (0.1, 0.0)}
    either, better = search_luck(pairs), search_luck(pairs, raced=True)
    assert better.variance == pytest.approx(BETTER_OF_TWO * either.variance)
    assert better.own["a"] == pytest.approx(BETTER_OF_TWO * 0.2**2 / 2)
