"""benchmarks/verdicts.py: its copy of the earlier rule, its simulated luck, its table."""

import importlib

import numpy as np
import pytest
from test_faults import BENCHMARKS

from studies.statistics.intervals import mean_interval, paired_difference


@pytest.fixture(scope="module")
def simulated():
    """The benchmark's modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield {
            name: importlib.import_module(name)
            for name in (
                "simulated.todays_verdict",
                "simulated.luck",
                "simulated.verdict_rows",
                "verdicts",
            )
        }


def test_the_earlier_rule_is_the_one_that_studies_used(simulated):
    values = np.random.default_rng(0).normal(0, 1, (40, 5, 4))
    found = simulated["simulated.todays_verdict"].judge(values)
    for number, study in enumerate(values):
        named = {str(i): dict(enumerate(row)) for i, row in enumerate(study.tolist())}
        best = max(named, key=lambda name: sum(named[name].values()))
        gaps = {name: paired_difference(named[best], of) for name, of in named.items()}
        worse = {str(i) for i in np.flatnonzero(found.worse[number])}
        assert str(found.best[number]) == best
        assert worse == {name for name, gap in gaps.items() if gap.low > 0}
        interval = mean_interval(study[0].tolist())
        assert (found.low[number, 0], found.high[number, 0]) == pytest.approx(
            (interval.low, interval.high)
        )


@pytest.mark.parametrize("kind", ["normal", "quadratic", "exponential"])
def test_luck_has_the_asked_spread(simulated, kind):
    luck = simulated["simulated.luck"]
    scale, mean = luck.calibrated(kind, 0.5, 6.0, 4)
    found = luck.results(np.random.default_rng(1), kind, 4000, scale)
    assert np.sqrt(found.worth.var(axis=0).mean()) == pytest.approx(0.5, rel=0.05)
    assert found.worth.mean(axis=0) == pytest.approx(mean, abs=0.05)
    # The leader has the better mean on the first seeds; the values hold its worth.
    first = found.confirmed[..., : luck.FIRST_SEEDS].mean(axis=-1)
    assert (first[:, :, 0] >= first[:, :, 1]).all()
    gap = found.confirmed[:, :, 0, luck.FIRST_SEEDS :].mean(axis=2) - found.worth
    assert gap.mean() == pytest.approx(0, abs=0.01)


def test_the_table_has_a_line_a_rate_and_names_what_is_missed(simulated):
    text = simulated["verdicts"].report(20, "winner")
    assert text == simulated["verdicts"].report(20, "winner")  # fixed seeds
    assert text.count("winner's interval") >= 3 and "20 studies a line" in text
    text = simulated["verdicts"].report(4, "choices")
    assert text.count("sole best") == 14
    rate = simulated["simulated.verdict_rows"].Rate("x", 50.0, 93.0, 94, at_most=False)
    assert rate.missed and rate.cells == ("x", "50.0", "93.0", ">= 94")
