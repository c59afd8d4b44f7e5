"""The race: who is stopped, when, and what is said of it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_protocol import StopAfter, run
from toy import Toy, make_plan

from mnist_core.errors import ConfigError
from studies.analysis import stored_study
from studies.analysis.candidates import Candidate
from studies.analysis.racing import ALPHA, FIRST_LOOK, race
from studies.core.seeds import confirm_seeds
from studies.core.trials import TrialRecord
from studies.protocol import phases
from studies.protocol.confirm import Rules
from studies.protocol.control import StudyInterrupted
from studies.report.table import markdown
from studies.report.verdict_text import choice_lines
from studies.report.warnings import warnings
from studies.search.enqueued import identity
from studies.statistics.intervals import paired_difference
from studies.statistics.verdicts import Conditions, judge_configurations

SEEDS = tuple(range(100, 108))


def test_stops_where_scipys_paired_test_does():
    """Against scipy's ttest_rel, one-sided, at the corrected level."""
    draw = random.Random(1).gauss
    values = {
        name: {seed: draw(mean, 0.01) for seed in SEEDS}
        for name, mean in (("a", 0.98), ("b", 0.975), ("c", 0.9), ("d", 0.94), ("e", 0.2))
    }
    stopped = race(values, SEEDS, rounds=len(SEEDS))
    level = ALPHA / (4 * (len(SEEDS) - FIRST_LOOK))
    expected, left = {}, set(values)
    for look in range(FIRST_LOOK, len(SEEDS)):
        seen = {name: [values[name][seed] for seed in SEEDS[:look]] for name in left}
        leader = max(seen, key=lambda name: sum(seen[name]))
        for name in left - {leader}:
            if stats.ttest_rel(seen[leader], seen[name], alternative="greater").pvalue < level:
                expected[name] = look
        left -= expected.keys()
    assert stopped == expected and {"c", "e"} <= stopped.keys() and "b" not in stopped


def test_the_best_is_hardly_ever_stopped():
    """Ten equal candidates: any that is stopped is an error, and few are."""
    draw, studies, wrong = random.Random(0).gauss, 400, 0
    for _ in range(studies):
        values = {f"{n}": {seed: draw(0, 1) for seed in SEEDS} for n in range(10)}
        wrong += "0" in race(values, SEEDS, rounds=len(SEEDS))
    assert wrong / studies <= ALPHA


@settings(max_examples=100)
@given(st.data())
def test_a_race_held_again_is_the_same(data):
    """Prefixes agree, values of rounds to come change nothing, both directions mirror."""
    number = st.floats(0, 1).map(lambda x: round(x, 3))
    names = data.draw(st.lists(st.sampled_from("abcde"), unique=True))
    values = {name: {seed: data.draw(number) for seed in SEEDS} for name in names}
    rounds = data.draw(st.integers(0, len(SEEDS)))
    whole = race(values, SEEDS, rounds=len(SEEDS))
    part = race(values, SEEDS, rounds=rounds)
    assert part == {name: at for name, at in whole.items() if at <= rounds}
    known = {
        name: {s: v for s, v in of.items() if s in SEEDS[:rounds]} for name, of in values.items()
    }
    assert race(known, SEEDS, rounds=rounds) == part
    mirrored = {name: {s: -v for s, v in of.items()} for name, of in values.items()}
    assert race(mirrored, SEEDS, rounds=rounds, direction="minimize") == part
    assert not whole.keys() & race(values, SEEDS, rounds=8, spared=whole).keys()
    assert len(whole) < max(1, len(names))


def test_few_seeds_leave_nothing_to_race_for():
    values = {"a": dict.fromkeys(SEEDS[:3], 0.9), "b": dict.fromkeys(SEEDS[:3], 0.1)}
    assert race(values, SEEDS[:3], rounds=3) == {}


def test_a_value_read_in_steps_is_less_certain():
    """One image on every seed: without its rounding there would be no doubt at all."""
    values = {"a": dict.fromkeys(SEEDS, 0.980), "b": dict.fromkeys(SEEDS, 0.979)}
    assert race(values, SEEDS, rounds=8, step=0.001) == {"b": 4}
    assert race(values, SEEDS, rounds=8) == {"b": 3}


def test_a_stopped_choice_is_never_the_best():
    """Its three seeds were good for all; on them it lost."""
    values = {"a": {1: 0.9, 2: 0.9, 3: 0.9, 4: 0.1}, "b": {1: 0.8, 2: 0.8, 3: 0.8}}
    judged = judge_configurations(values, Conditions(stopped=["b"]))
    assert judged.comparison.best == "a" and judged.comparison.ties == ()
    assert "b" not in judged.comparison.worse  # the race has judged it
    all_seeds = {**values, "b": {**values["b"], 4: 0.8}}
    assert judge_configurations(all_seeds).comparison.best == "b"
    assert judge_configurations(all_seeds, Conditions(stopped=["b"])).comparison.best == "a"
    assert judge_configurations(values, Conditions(stopped=["a", "b"])) is None


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})


def raced(folder, seeds=8, **options):
    return make_plan(folder, seeds=seeds, confirm={"racing": True}, **options)


def test_losers_get_fewer_seeds_and_the_winner_is_the_same(tmp_path):
    toy, whole = Toy(), run(make_plan(tmp_path / "whole", seeds=8))
    result = run(raced(tmp_path), toy=toy)
    assert result.best == whole.best and result.best_row.values == whole.best_row.values
    rows = {row.label: row for row in result.rows}
    lost = {label for label, row in rows.items() if row.stopped_after}
    assert "adagrad" in lost and "adam (default)" not in lost and result.best not in lost
    assert result.trained == whole.trained - sum(8 - rows[label].stopped_after for label in lost)
    for row in whole.rows:
        values = rows[row.label].values
        assert values.items() <= row.values.items()
        if row.label in lost:
            assert rows[row.label].confirm.n == rows[row.label].gap.n == len(values) < 8
            assert rows[row.label].gap == paired_difference(values, result.best_row.values)
    assert result.rows[-1].stopped_after
    text = markdown(result)
    assert (
        f"({rows['adagrad'].stopped_after}) |" in text
        and "the race stopped it after n of 8" in text
    )
    assert not any("confirm seeds have a value" in line for line in warnings(result))
    assert all(row.test.n == row.confirm.n for row in result.rows)


def test_a_finished_race_trains_nothing_and_is_read_as_such(tmp_path):
    first, toy = run(raced(tmp_path)), Toy()
    second = run(raced(tmp_path), toy=toy)
    assert toy.ran == [] and second.rows == first.rows
    found = stored_study.read(make_plan(tmp_path))  # the settings of another command line
    assert found.phase == "finished" and found.result.rows == first.rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", lambda plan: {})
        return run(raced(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("after", [11, 21, 25])
def test_an_interrupted_race_goes_on_to_the_same_end(tmp_path, whole, after):
    stop = StopAfter(after)
    with pytest.raises(StudyInterrupted):
        run(raced(tmp_path), listeners=[stop], control=stop.control)
    toy = Toy()
    result = run(raced(tmp_path), toy=toy)
    assert after + len(toy.ran) == whole.trained
    assert [(r.label, r.values, r.stopped_after) for r in result.rows] == [
        (r.label, r.values, r.stopped_after) for r in whole.rows
    ]


def test_without_the_race_the_missing_seeds_are_trained(tmp_path):
    events, first = [], run(raced(tmp_path))
    result = run(make_plan(tmp_path, seeds=8), listeners=[events.append], read_test_again=True)
    assert all(row.confirm.n == 8 and row.stopped_after is None for row in result.rows)
    assert result.trained == sum(8 - len(row.values) for row in first.rows)
    # And with it again nobody lacks a seed, so nobody is said to be stopped.
    assert all(row.stopped_after is None for row in run(raced(tmp_path)).rows)


def test_a_stopped_choice_is_in_no_verdict_on_choices(tmp_path):
    """With the luck of the search it might be best; the race has judged configurations."""
    result = run(raced(tmp_path))
    lost = [row.label for row in result.rows if row.stopped_after]
    (said,) = choice_lines(result)
    possible = result.verdicts.choices.comparison.possible
    assert lost and all(label in said for label in lost) and "the race" in said
    # Never "another search might come to sgd", which is one of one.
    assert ("might come to" in said) == (len(possible) > 1)


def test_who_is_stopped_is_said_once(tmp_path):
    events = []
    result = run(raced(tmp_path), listeners=[events.append])
    run(raced(tmp_path), listeners=[events.append])
    said = [e.data["text"] for e in events if e.data.get("text", "").startswith("race: ")]
    lost = [row for row in result.rows if row.stopped_after]
    assert sorted(said) == sorted(
        f"race: {row.label} has clearly lost after {row.stopped_after} of 8 seeds and gets no more"
        for row in lost
    )


def test_a_seed_that_fails_does_not_hold_the_race_up(tmp_path, whole):
    failed = []

    class Unlucky(Toy):
        def __call__(self, task, report):
            if self.keep_models is not None and task.params["optim.name"] == "sgd":
                failed.append((str(task.params), task.seed))
                raise OSError(28, "No space left on device")
            return super().__call__(task, report)

    toy = Unlucky()
    first = run(raced(tmp_path), toy=toy)
    assert next(r for r in first.rows if r.label == "sgd").confirm is None
    assert len(failed) == len(set(failed))  # once a run, not once a round
    mended = run(raced(tmp_path), toy=Toy())
    assert {r.label: r.values for r in mended.rows if r.label != "sgd"} == {
        r.label: r.values for r in first.rows if r.label != "sgd"
    }
    assert len(next(r for r in mended.rows if r.label == "sgd").values) >= len(
        next(r for r in whole.rows if r.label == "sgd").values
    )


def test_a_race_needs_seeds_and_one_objective(tmp_path):
    events = []
    run(raced(tmp_path, seeds=3, trials=3), listeners=[events.append])
    assert any("with 3 it saves nothing" in e.data.get("text", "") for e in events)
    several = raced(tmp_path / "two", search={"objectives": {"parameters": "minimize"}})
    with pytest.raises(ConfigError, match=r"confirm\.racing: .* several"):
        run(several)


def test_what_is_over_a_limit_beats_nobody(tmp_path):
    """The default would win by far, but may not win: nobody is stopped on its account."""

    def candidate(name, lr, *, default=False, feasible=True):
        return Candidate(
            choice=name,
            default=default,
            params={"optim.name": name, f"{name}.lr": lr},
            search_trial=None,
            search_value=None,
            feasible=feasible,
        )

    def held(chosen):
        values = {"adam": 0.9, "sgd": 0.5}
        return [
            TrialRecord(
                number=0,
                state="COMPLETE",
                params=dict(one.params),
                seed=seed,
                value=values[one.choice] + n / 1000,
                curve={},
                metrics={},
                seconds=1.0,
            )
            for one in chosen
            for n, seed in enumerate(confirm_seeds(0, 8))
        ]

    sgd = candidate("sgd", 0.1)
    for feasible in (True, False):
        chosen = [sgd, candidate("adam", 0.1, default=True, feasible=feasible)]
        stopped = Rules(raced(tmp_path).spec, confirm_seeds(0, 8), chosen, racing=True).losers(
            held(chosen)
        )
        assert stopped == ({identity(sgd.params): 3} if feasible else {})
