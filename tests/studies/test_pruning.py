"""Pruning: fair between choices, whichever pruner, and the same as Optuna's own within one."""

from random import Random

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from scipy.stats import wilcoxon

from mnist_core.errors import ConfigError
from studies.core.attributes import SENTINEL, WOULD_PRUNE
from studies.search.pruners import create_pruner, try_pruner, with_resources
from studies.search.pruning import FairPruning

KINDS = CategoricalDistribution(("fast", "slow"))
STEPS = 27
PRUNERS = {
    "median": {},
    "percentile": {"percentile": 50.0},
    "successive_halving": {"reduction_factor": 3},
    "hyperband": {},
}


def value(kind, quality, step):
    """Slow starts far below fast, whatever its quality."""
    base = 0.5 if kind == "fast" else 0.0
    return base + quality * step / STEPS / 3


def created(number, kind):
    trial = create_trial(
        state=TrialState.RUNNING, params={"kind": kind}, distributions={"kind": KINDS}
    )
    trial.number = trial._trial_id = number
    return trial


class Trials:
    """Runs trials one after the other through ``FairPruning``, as the book does."""

    def __init__(self, name, *, scientific="kind", direction=StudyDirection.MAXIMIZE):
        self.trials, self.written = [], []
        self.sign = 1 if direction is StudyDirection.MAXIMIZE else -1
        self.pruning = FairPruning(
            name,
            with_resources(name, PRUNERS.get(name, {}), STEPS),
            scientific=scientific,
            direction=direction,
            write=lambda *mark: self.written.append(mark),
        )

    def run(self, kind, quality):
        """Return the step at which the trial was pruned, or None."""
        self.trials.append(trial := created(len(self.trials), kind))
        for step in range(1, STEPS + 1):
            reported = self.sign * value(kind, quality, step)
            trial.intermediate_values = {**trial.intermediate_values, step: reported}
            if self.pruning.should_prune(trial, self.trials):
                trial.state, trial.value = TrialState.PRUNED, reported
                return step
        trial.state, trial.value = TrialState.COMPLETE, reported
        return None


@pytest.mark.parametrize("direction", ["MINIMIZE", "MAXIMIZE"])
@pytest.mark.parametrize("name", PRUNERS)
def test_a_slow_starter_is_judged_among_slow_starters(name, direction):
    qualities = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9, 0.45, 0.95, 0.05]
    alone = Trials(name, direction=StudyDirection[direction])
    expected = [alone.run("slow", quality) for quality in qualities]

    mixed = Trials(name, direction=StudyDirection[direction])
    seen = []
    for quality in qualities:
        for other in (0.2, 0.9):
            mixed.run("fast", other)
        seen.append(mixed.run("slow", quality))
    if name == "hyperband":  # brackets are drawn from the trial's number
        assert None in seen
    else:
        assert seen == expected
        assert any(seen), "the pruner never pruned: nothing was tested"


@pytest.mark.parametrize("name", PRUNERS)
def test_the_same_pruner_unfiltered_would_be_unfair(name):
    """What the filter is for: side by side with fast starters no slow starter survives."""

    def survivors(scientific):
        trials = Trials(name, scientific=scientific)
        seen = []
        for quality in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99):
            for other in (0.4, 0.5, 0.6, 0.3):
                trials.run("fast", other)
            seen.append(trials.run("slow", quality))
        return sum(step is None for step in seen)

    # Each slow trial is better than all slow ones before, so none is to be stopped.
    assert survivors("kind") == 8
    assert survivors(None) < 8


@pytest.mark.parametrize("name", PRUNERS)
def test_within_one_choice_it_is_optunas_own_pruner(name):
    random = Random(4)
    qualities = [random.random() for _ in range(40)]
    trials = Trials(name)
    ours = [trials.run("slow", quality) for quality in qualities]

    study = optuna.create_study(
        study_name="view",
        direction="maximize",
        pruner=create_pruner(name, with_resources(name, PRUNERS[name], STEPS)),
    )
    theirs = []
    for quality in qualities:
        trial = study.ask()
        trial.suggest_categorical("kind", KINDS.choices)
        theirs.append(None)
        for step in range(1, STEPS + 1):
            trial.report(value("slow", quality, step), step)
            if trial.should_prune():
                theirs[-1] = step
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, value("slow", quality, STEPS))
    assert ours == theirs
    assert any(ours)


def test_rungs_are_handed_over_to_be_stored():
    trials = Trials("successive_halving")
    trials.run("slow", 0.5)
    trials.run("slow", 0.6)
    for number, quality in ((0, 0.5), (1, 0.6)):
        rungs = {key: value for n, key, value in trials.written if n == number}
        assert rungs == {
            f"completed_rung_{rung}": pytest.approx(value("slow", quality, step))
            for rung, step in enumerate((1, 3, 9, 27))
        }


def test_a_rung_has_the_value_of_its_own_step_whatever_was_asked_before():
    """As when the pruner was another one until now, or the supervisor was killed."""
    name = "successive_halving"
    trials = Trials(name)
    for quality in (0.9, 0.5, 0.2):  # the pruner is not asked about them
        trials.trials.append(late := created(len(trials.trials), "slow"))
        late.state = TrialState.COMPLETE
        late.intermediate_values = {s: value("slow", quality, s) for s in range(1, STEPS + 1)}
    trials.trials.append(one := created(3, "slow"))
    one.intermediate_values = {step: value("slow", 0.8, step) for step in range(1, 6)}
    assert not trials.pruning.should_prune(one, trials.trials) and not trials.written
    one.intermediate_values = {step: value("slow", 0.8, step) for step in range(1, 10)}
    assert trials.pruning.should_prune(one, trials.trials)
    assert trials.written == [(3, "completed_rung_2", value("slow", 0.8, 9))]


def test_none_never_prunes():
    trials = Trials("none")
    assert [trials.run("fast", quality) for quality in (0.9, 0.8, 0.7, 0.6, 0.5, 0.1)] == [None] * 6


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("hyperband", {"max_resources": 3}, "did you mean 'max_resource'"),
        ("medan", {}, "did you mean 'median'"),
        ("percentile", {"percentile": 300.0}, "between 0 and 100"),
        ("none", {"percentile": 3.0}, "has no options"),
        ("threshold", {}, "needs lower or upper"),
        ("threshold", {"lower": 0.9, "upper": 0.1}, "lower should be smaller"),
        ("wilcoxon", {"p_threshold": 2.0}, "between 0 and 1"),
        ("patient", {"patience": -1}, "cannot be negative"),
        ("patient", {"wrapped": "medan"}, "wrapped must be one of median"),
        ("patient", {"wrapped": "hyperband"}, "must see every report"),
        ("patient", {"wrapped": "threshold"}, "wrapped_options: it needs lower or upper"),
        ("patient", {"wrapped": "median", "wrapped_options": 3}, "must be a table"),
        ("patient", {"wrapped_options": {"n_warmup_steps": 3}}, "need wrapped"),
        (
            "patient",
            {"wrapped": "median", "wrapped_options": {"n_warmup": 3}},
            r"\(patient\): wrapped_options: unknown option 'n_warmup'; did you mean",
        ),
    ],
)
def test_mistakes(name, options, part):
    with pytest.raises(ConfigError, match=part):
        create_pruner(name, options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hyperband", {"max_resource": -1}),
        ("hyperband", {"reduction_factor": 1}),
        ("successive_halving", {"reduction_factor": 0}),
        ("median", {"n_warmup_steps": "two"}),
    ],
)
def test_what_optuna_refuses_late_is_refused_at_once(name, options):
    with pytest.raises(ConfigError, match=rf"search\.pruner_options \({name}\): ."):
        try_pruner(name, options)


@pytest.mark.parametrize("name", ["none", *PRUNERS])
def test_good_options_pass(name):
    try_pruner(name, PRUNERS.get(name, {}))


def test_a_threshold_stops_what_falls_below_it():
    trials = Trials("none")
    trials.pruning = FairPruning(
        "threshold",
        {"lower": 0.2},
        scientific="kind",
        direction=StudyDirection.MAXIMIZE,
        write=lambda *mark: None,
    )
    assert trials.run("fast", 0.5) is None
    assert trials.run("slow", 0.5) == 1


def test_wilcoxon_compares_instances_with_those_of_the_best_of_the_same_choice():
    trials = Trials("none")
    trials.pruning = FairPruning(
        "wilcoxon",
        {"p_threshold": 0.1},
        scientific="kind",
        direction=StudyDirection.MAXIMIZE,
        write=print,
    )
    for quality in (0.5, 0.9):
        assert trials.run("slow", quality) is None
    assert trials.run("fast", 0.1) is None  # worse than slow's best, but the first of its kind
    step = trials.run("slow", 0.3)
    assert step is not None
    # As scipy says: so many instances in a row that are worse are enough.
    worse = [-(i + 1) for i in range(step)]
    assert wilcoxon(worse, alternative="less", zero_method="zsplit").pvalue < 0.1
    assert wilcoxon(worse[:-1], alternative="less", zero_method="zsplit").pvalue >= 0.1


def test_patience_alone_stops_a_trial_that_stands_still():
    pruning = FairPruning(
        "patient",
        {"patience": 2},
        scientific=None,
        direction=StudyDirection.MINIMIZE,
        write=lambda *mark: None,
    )
    trial = create_trial(state=TrialState.RUNNING)
    stops = []
    for step, loss in enumerate([0.9, 0.5, 0.6, 0.4, 0.5, 0.6, 0.5, 0.5], start=1):
        trial.intermediate_values = {**trial.intermediate_values, step: loss}
        stops.append(pruning.should_prune(trial, [trial]))
    assert stops == [False] * 6 + [True, True]  # three reports in a row above 0.4


def test_patience_shields_a_trial_that_improves():
    trials = Trials("none")
    for options in ({"wrapped": "median", "patience": 1}, {"wrapped": "percentile"}):
        trials.pruning = FairPruning(
            "patient", options, scientific="kind", direction=StudyDirection.MAXIMIZE, write=print
        )
        # Each rises from step to step, however low: the wrapped pruner is not asked.
        assert [trials.run("slow", q) for q in (0.9, 0.8, 0.7, 0.6, 0.5, 0.1)] == [None] * 6


class TestSentinels:
    def run(self, trials, kind, quality, *, sentinel):
        """As ``Trials.run``, but of a sentinel; returns at which steps the answer was to stop."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params={"kind": kind},
            distributions={"kind": KINDS},
            user_attrs={SENTINEL: True} if sentinel else {},
        )
        trial.number = trial._trial_id = len(trials.trials)
        trials.trials.append(trial)
        for step in range(1, STEPS + 1):
            reported = trials.sign * value(kind, quality, step)
            trial.intermediate_values = {**trial.intermediate_values, step: reported}
            if trials.pruning.should_prune(trial, trials.trials):
                trial.state, trial.value = TrialState.PRUNED, reported
                return step
        trial.state, trial.value = TrialState.COMPLETE, reported
        return None

    @pytest.mark.parametrize("name", PRUNERS)
    def test_it_goes_on_is_marked_and_changes_nothing_for_the_others(self, name):
        qualities = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9, 0.45, 0.95, 0.05, 0.5, 0.3]
        plain, watched = Trials(name), Trials(name)
        expected = [self.run(plain, "slow", quality, sentinel=False) for quality in qualities]
        seen = []
        for number, quality in enumerate(qualities):
            step = self.run(watched, "slow", quality, sentinel=number % 2 == 1)
            marked = watched.trials[-1].system_attrs.get(WOULD_PRUNE)
            seen.append(marked if number % 2 else step)
            if number % 2:
                assert step is None and len(watched.trials[-1].intermediate_values) == STEPS
                assert watched.trials[-1].state is TrialState.COMPLETE
        assert seen == expected
        assert any(seen[1::2]), "no sentinel would have been pruned: nothing was tested"
        written = {number: v for number, key, v in watched.written if key == WOULD_PRUNE}
        assert written == {n: step for n, step in enumerate(seen) if n % 2 and step is not None}

    def test_a_sentinel_under_no_pruner_is_a_trial_as_any(self):
        trials = Trials("none")
        assert self.run(trials, "slow", 0.1, sentinel=True) is None
        assert not trials.written
