"""Importance of parameters: Optuna's, with intervals that tell much from little."""

import dataclasses

import optuna
import pytest
from made_search import write_study
from toy import make_plan

from studies.analysis import stored_study
from studies.analysis.importance import DRAWS, ENOUGH, importance, ped_anova
from studies.search.optuna_bridge import to_distribution


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A study of 200 trials; nothing here changes it."""
    plan = make_plan(tmp_path_factory.mktemp("found"), sqlite=True)
    write_study(plan, 200, pruned=0.0, failed=0.0)
    return stored_study.read(plan)


def test_one_draw_is_optunas_own(found):
    """The trials as they are, through the storage that copies nothing."""
    kinds = {n: to_distribution(p) for n, p in found.plan.spec.space.parameters.items()}
    drawn = [(record, {name: kinds[name] for name in record.params}) for record in found.search]
    study = optuna.load_study(study_name="toy", storage=found.plan.storage_url)
    expected = optuna.importance.get_param_importances(study)
    assert ped_anova(drawn, "maximize") == pytest.approx(expected)


def test_a_parameter_that_decides_stands_out(found):
    """The value depends on sgd's learning rate alone."""
    records = [
        dataclasses.replace(r, value=r.params.get("sgd.lr", 0.0) + 1e-6 * r.number)
        for r in found.search
    ]
    done = importance(found.plan.spec, records)
    first, *others = done.shares
    assert {first.name, others[0].name} == {"sgd.lr", "optim.name"}
    assert all(share.low <= share.value <= share.high for share in done.shares)
    assert done.draws == DRAWS and done.trials == 200
    assert max(share.high for share in others[1:]) < first.value


def test_more_trials_narrow_the_interval(found):
    def width(count):
        done = importance(found.plan.spec, found.search[:count], draws=40)
        return sum(share.high - share.low for share in done.shares)

    assert width(200) < width(20)


def test_too_few_trials_say_nothing(found):
    assert importance(found.plan.spec, found.search[: ENOUGH - 1]).shares == ()
    same = [dataclasses.replace(record, value=0.5) for record in found.search]
    assert importance(found.plan.spec, same).shares == ()


def test_the_same_again(found):
    assert importance(found.plan.spec, found.search, draws=10) == importance(
        found.plan.spec, found.search, draws=10
    )
