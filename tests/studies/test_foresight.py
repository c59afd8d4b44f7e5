"""What the seeds can show, said before the first trial."""

import dataclasses

import numpy as np
import pytest
from test_protocol import run
from toy import Toy, make_plan

from studies.analysis.foresight import SeedError, power_lines, power_text
from studies.protocol import phases
from studies.statistics.verdicts import judge_configurations

ASSUMED = SeedError(sd=0.002, images=0.0, source="assumed")


def test_the_line_names_the_share_the_seeds_and_what_is_assumed():
    assert power_text(4, 10, ASSUMED) == (
        "with 4 confirm seeds, a configuration that is 0.5 points better than all others is shown"
        " to be the best in 5 of 10 studies; for 8 of 10, it takes 7 seeds (standard deviation over"
        " seeds: 0.2 points, assumed)"
    )
    wide = dataclasses.replace(ASSUMED, images=1e-4)
    assert " less than 1 of 10 studies; for 8 of 10, it takes more than 64 " in power_text(
        4, 9, wide
    )


def test_the_share_is_that_of_simulated_studies():
    rng, seen = np.random.default_rng(0), 0
    means = [0.98] * 8 + [0.985]
    for _ in range(200):
        values = {
            f"c{i}": dict(enumerate(rng.normal(mean, ASSUMED.sd, 4)))
            for i, mean in enumerate(means)
        }
        comparison = judge_configurations(values).comparison
        seen += comparison.sole and comparison.best == "c8"
    (said,) = [part for part in power_text(4, 9, ASSUMED).split(" in ") if " of 10 studies" in part]
    assert seen / 20 == pytest.approx(int(said[0]) + 0.5, abs=1.5)


def test_an_earlier_confirmation_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    plan = make_plan(tmp_path)
    assert power_lines(plan)[0].endswith("(standard deviation over seeds: 0.2 points, assumed)")
    run(plan, toy=Toy(noise=0.05))
    assert power_lines(plan)[0].endswith(" points, from its confirmation so far)")
    assert ": 0.2 points" not in power_lines(plan)[0]


def test_only_an_accuracy_over_several_seeds_has_one(tmp_path):
    plan = make_plan(tmp_path)
    loss = dataclasses.replace(plan.spec, metric="val_loss", direction="minimize")
    assert power_lines(dataclasses.replace(plan, spec=loss)) == []
    assert power_lines(make_plan(tmp_path, seeds=1)) == []
