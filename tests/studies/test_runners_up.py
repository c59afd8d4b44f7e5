"""The best configurations of a choice race on the first fresh seeds; only the leader goes on."""

import dataclasses
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_protocol import StopAfter, run
from toy import SPEC, Toy, make_plan

from mnist_core.errors import ConfigError
from objectives.base import Outcome, TrainingError
from studies.analysis import stored_study
from studies.analysis.candidates import Candidate, candidates
from studies.analysis.runners_up import leads, named
from studies.analysis.verdict import reach_verdicts
from studies.core.attributes import RECORD
from studies.core.seeds import FIRST_SEEDS, confirm_seeds
from studies.core.trials import TrialRecord
from studies.planning.recorded import Now, plan_attribute, recorded_plan
from studies.planning.settings import Settings
from studies.protocol import phases
from studies.protocol.confirm import Rules
from studies.protocol.control import StudyInterrupted
from studies.report.table import markdown, notes
from studies.report.verdict_text import verdict_lines
from studies.report.warnings import warnings
from studies.search.enqueued import identity

SEEDS = confirm_seeds(0, 5)


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})


def candidate(choice, place=1, trial=None, **more):
    lr = {"sgd": "sgd.lr", "adam": "adam.lr", "adagrad": "adagrad.lr"}[choice]
    return Candidate(
        choice=choice,
        default=more.pop("default", False),
        params={"optim.name": choice, lr: 0.01 * place},
        search_trial=place if trial is None else trial,
        search_value=1 - place / 100,
        place=place,
        name=more.pop("name", "" if place == 1 else f"{choice}, trial {place}"),
        **more,
    )


def record(number, one, seed, value, state="COMPLETE", judged=0.5):
    complete = state == "COMPLETE"
    return TrialRecord(
        number=number,
        state=state,
        params=dict(one.params),
        seed=seed,
        value=judged if complete else None,
        curve={},
        metrics={"val_accuracy": value, "confirm_accuracy": judged} if complete else {},
        seconds=1.0,
    )


def of_values(values, **more):
    """Records of configurations, from their values by seed; None: the training failed."""
    found = []
    for one, own in values:
        for seed, value in zip(SEEDS, own, strict=False):
            state = "FAIL" if value is None else "COMPLETE"
            found.append(record(len(found), one, seed, value, state, **more))
    return found


def leader_of(*values, **more):
    (lead,) = leads(SPEC, [one for one, _ in values], of_values(values, **more), SEEDS)
    return lead.leader.place if lead.decided else None


FIRST, SECOND, THIRD = (candidate("sgd", place) for place in (1, 2, 3))


def test_the_mean_on_the_first_seeds_decides():
    assert leader_of((FIRST, (0.9, 0.9)), (SECOND, (0.9, 0.92))) == 2
    assert leader_of((FIRST, (0.9, 0.92)), (SECOND, (0.9, 0.9))) == 1
    # Later seeds do not: the leader alone has them.
    assert leader_of((FIRST, (0.9, 0.92, 0.1, 0.1)), (SECOND, (0.9, 0.9))) == 1
    assert leader_of((FIRST, (0.9, 0.9)), (SECOND, (0.8, 0.8)), (THIRD, (0.9, 0.95))) == 3


def test_ties_go_to_the_earlier_search_trial():
    early, late = candidate("sgd", 2, trial=3), candidate("sgd", 1, trial=8)
    assert leader_of((late, (0.9, 0.8)), (early, (0.8, 0.9))) == 2
    assert leader_of((FIRST, (0.9, 0.8)), (SECOND, (0.8, 0.9))) == 1


def test_what_failed_does_not_lead():
    assert leader_of((FIRST, (0.99, None)), (SECOND, (0.5, 0.5))) == 2
    assert leader_of((FIRST, (None, None)), (SECOND, (0.5, None))) == 2
    assert leader_of((FIRST, (None, None)), (SECOND, (None, None))) == 1


def test_nothing_is_decided_before_all_have_ended():
    assert leader_of((FIRST, (0.9,)), (SECOND, (0.9, 0.9))) is None
    waiting = record(9, SECOND, SEEDS[1], None, "WAITING")
    held = [*of_values([(FIRST, (0.9, 0.9)), (SECOND, (0.99,))]), waiting]
    (lead,) = leads(SPEC, [FIRST, SECOND], held, SEEDS)
    assert not lead.decided and lead.leader is FIRST
    # A training that failed and was done again counts as done.
    again = [record(7, FIRST, SEEDS[0], None, "FAIL"), *of_values([(FIRST, (0.9, 0.9))])]
    again += of_values([(SECOND, (0.8, 0.8))])
    (lead,) = leads(SPEC, [FIRST, SECOND], again, SEEDS)
    assert lead.decided and lead.leader is FIRST
    # One configuration needs no decision.
    assert leader_of((FIRST, ())) == 1


def test_the_images_that_judge_do_not_decide():
    """``value`` is of the confirm images; the search's metric is of the validation images."""
    held = [
        record(0, FIRST, SEEDS[0], 0.9, judged=0.99),
        record(1, FIRST, SEEDS[1], 0.9, judged=0.99),
        record(2, SECOND, SEEDS[0], 0.91, judged=0.5),
        record(3, SECOND, SEEDS[1], 0.91, judged=0.5),
    ]
    (lead,) = leads(SPEC, [FIRST, SECOND], held, SEEDS)
    assert lead.leader is SECOND
    fewer = dataclasses.replace(SPEC, direction="minimize")
    (lead,) = leads(fewer, [FIRST, SECOND], held, SEEDS)
    assert lead.leader is FIRST


def test_labels_do_not_collide():
    space = dataclasses.replace(SPEC.space.parameters["optim.name"])
    assert "sgd" in space.choices
    taken = candidate("adam", name="sgd, runner-up")
    values = [(FIRST, (0.9, 0.9)), (SECOND, (0.95, 0.95)), (taken, (0.1, 0.1))]
    found = named(SPEC, [FIRST, SECOND, taken], of_values(values), SEEDS)
    assert [one.label for one in found] == ["sgd", "sgd, runner-up'", "sgd, runner-up"]
    assert [one.runner_up for one in found] == [False, True, False]
    three = [(FIRST, (0.9, 0.9)), (SECOND, (0.95, 0.95)), (THIRD, (0.97, 0.97))]
    found = named(SPEC, [FIRST, SECOND, THIRD], of_values(three), SEEDS)
    assert [(one.label, one.place) for one in found] == [
        ("sgd", 3),
        ("sgd, runner-up 1", 1),
        ("sgd, runner-up 2", 2),
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_due_follows_from_plan_and_values(data):
    """In any order, with breaks anywhere and a race or none, the same trainings are done."""
    places = [data.draw(st.integers(1, 3)) for _ in range(3)]
    chosen = [
        candidate(choice, place)
        for choice, most in zip(("sgd", "adam", "adagrad"), places, strict=True)
        for place in range(1, most + 1)
    ]
    chosen.append(candidate("adam", data.draw(st.integers(1, 4)), default=True, name="adam (d)"))
    racing, rng = data.draw(st.booleans()), random.Random(data.draw(st.integers(0, 99)))
    rules = Rules(SPEC, SEEDS, chosen, racing=racing)
    ends = {
        (identity(one.params), seed): None if rng.random() < 0.1 else round(rng.random(), 1)
        for one in chosen
        for seed in SEEDS
    }

    def done(order, seen):
        held = []
        while True:
            left = [
                entry
                for entry in rules.due(held)
                if all((e.params, e.seed) != (entry.params, entry.seed) for e in held)
            ]
            if not left:
                return held
            seen.append(len(left) + rules.later(held) + len(held))
            # Killed after some of them: what is due is asked again.
            order.shuffle(left)
            for entry in left[: order.randint(1, len(left))]:
                value = ends[identity(entry.params), entry.seed]
                state = "FAIL" if value is None else "COMPLETE"
                one = Candidate(
                    choice="",
                    default=False,
                    params=entry.params,
                    search_trial=0,
                    search_value=0.0,
                )
                held.append(record(len(held), one, entry.seed, value, state, judged=value or 0.0))

    seen, again = [], []
    first, second = done(random.Random(1), seen), done(random.Random(2), again)

    def trained(held):
        return sorted((identity(one.params), one.seed) for one in held)

    assert trained(first) == trained(second)
    through = {identity(lead.leader.params) for lead in leads(SPEC, chosen, first, SEEDS)}
    through.add(identity(chosen[-1].params))
    for one in chosen:
        mine = sorted(
            SEEDS.index(r.seed) for r in first if identity(r.params) == identity(one.params)
        )
        assert mine == list(range(len(mine)))
        if identity(one.params) not in through:
            assert len(mine) == FIRST_SEEDS
        elif not racing:
            assert len(mine) == len(SEEDS)
    if not racing:  # the first number told is right, but for a leader that is the default
        assert 0 <= seen[0] - len(first) <= len(SEEDS) - FIRST_SEEDS
        assert all(b <= a for a, b in pairwise(seen))


class Lucky(Toy):
    """The best search trial of sgd is the luckiest: on fresh seeds it does worse."""

    def __call__(self, task, report):
        outcome = super().__call__(task, report)
        if self.keep_models is None or task.params["optim.name"] != "sgd":
            return outcome
        worst = abs(task.params["sgd.lr"] - 0.01) < 1e-9
        value = outcome.metrics["val_accuracy"] - 0.05 * worst
        return Outcome(metrics={**outcome.metrics, "val_accuracy": value})


def test_the_runner_up_leads_where_the_best_search_value_was_luck(tmp_path):
    toy = Lucky()
    result = run(make_plan(tmp_path, seeds=4), toy=toy)
    row = next(row for row in result.rows if row.label == "sgd")
    (other,) = row.runners_up
    assert other.label == "sgd, runner-up" and other.candidate.search_value > (
        row.candidate.search_value
    )
    assert list(row.values) == list(confirm_seeds(0, 4)) and len(other.values) == FIRST_SEEDS
    assert result.standing(other) == "runner-up" and other.gap is None
    judged = result.verdicts.configurations
    assert not any("runner-up" in label for label in judged.intervals)
    assert not any("runner-up" in line for line in verdict_lines(result))
    # Confirmed means tell of the luck of the search, on the two seeds of both.
    assert result.verdicts.choices is not None
    # The best configuration is exported from the leader's trainings, all of one configuration.
    for records in result.confirm.values():
        assert len({str(record.params) for record in records}) == 1
    text = markdown(result)
    lines = [line for line in text.splitlines() if line.startswith("| sgd")]
    assert [line.split(" | ")[0] for line in lines] == ["| sgd", "| sgd, runner-up"]
    assert "(2) |" in lines[1] and "±" not in lines[1]
    assert any(line.startswith("runner-up: ") for line in notes(result))
    assert stored_study.read(make_plan(tmp_path, seeds=4)).result.rows == result.rows
    labels = {
        record.attributes["label"]
        for record in stored_study.read(make_plan(tmp_path, seeds=4)).confirm
    }
    assert f"sgd, trial {row.candidate.search_trial}" in labels


class LuckyDefault(Toy):
    """Adam's default is not the best of the search, but leads on fresh seeds."""

    def __call__(self, task, report):
        outcome = super().__call__(task, report)
        default = task.params.get("adam.lr") == 0.001
        value = outcome.metrics["val_accuracy"] + 0.1 * (default and self.keep_models is not None)
        return Outcome(metrics={**outcome.metrics, "val_accuracy": value})


def test_a_default_that_leads_is_not_said_to_be_unbeaten_in_the_search(tmp_path):
    result = run(make_plan(tmp_path, seeds=3, confirm={"top": 8}), toy=LuckyDefault())
    row = next(row for row in result.rows if row.label == "adam")
    assert row.candidate.params["adam.lr"] == 0.001
    assert max(one.candidate.search_value for one in row.runners_up) > row.candidate.search_value
    said = " ".join(verdict_lines(result))
    assert "the default of adam is ahead of the configuration" in said
    assert "nothing better than the default of adam" not in said
    # The note on the column search is true of this row, too.
    assert "search: value of this configuration" in notes(result)[0]


def test_one_is_as_before(tmp_path):
    result = run(make_plan(tmp_path, seeds=4, confirm={"top": 1}), toy=Lucky())
    assert all(row.runners_up == () for row in result.rows)
    different = {str(row.candidate.params) for row in result.rows}
    assert result.trained == 9 + 4 * len(different)
    assert not any(line.startswith("runner-up: ") for line in notes(result))
    # And with two of each the missing ones are added.
    more = run(make_plan(tmp_path, seeds=4), toy=Lucky())
    whole = run(make_plan(tmp_path / "whole", seeds=4), toy=Lucky())
    assert [(r.label, r.values) for r in more.shown_rows if r.label != "sgd, runner-up"] == [
        (r.label, r.values) for r in whole.shown_rows if r.label != "sgd, runner-up"
    ]


def test_a_race_is_announced_with_the_seeds_of_the_default():
    """The baseline's default goes on even where it is a runner-up of its choice."""
    default = candidate("adam", place=2)
    chosen = [
        candidate("adam"),
        default,
        candidate("sgd"),
        candidate("sgd", place=2),
        dataclasses.replace(default, default=True, place=1, name=""),
    ]
    rules = Rules(SPEC, SEEDS[:3], chosen, racing=True)
    done = [
        record(number, one, seed, one.search_value)
        for number, (seed, one) in enumerate((s, c) for s in SEEDS[:2] for c in chosen[:4])
    ]
    announced = len(rules.due([])) + rules.later([])
    assert announced == len(done) + 3 == len(rules.due(done)) and rules.later(done) == 0


@pytest.mark.parametrize("racing", [False, True])
def test_trainings_that_are_done_are_not_announced(racing):
    """A finished study of one configuration a choice is resumed with two of each."""
    one = [candidate("adam"), candidate("sgd")]
    done = [
        record(number, of, seed, of.search_value)
        for number, (seed, of) in enumerate((s, c) for s in SEEDS for c in one)
    ]
    two = [candidate("adam", 2), candidate("sgd", 2)]
    rules = Rules(SPEC, SEEDS, [one[0], two[0], one[1], two[1]], racing=racing)
    # A runner-up that comes to lead needs the seeds after the first ones, and no more.
    assert rules.later(done) == 2 * (len(SEEDS) - FIRST_SEEDS)
    # Kept to the first seeds, they leave nothing to announce.
    first = [*done]
    for place in two:
        for seed in SEEDS[:FIRST_SEEDS]:
            first.append(record(len(first), place, seed, 0.1))
    assert rules.later(first) == 0


@pytest.mark.parametrize("racing", [False, True])
def test_an_interrupted_confirmation_goes_on_to_the_same_end(tmp_path, racing):
    def plan(folder):
        return make_plan(folder, seeds=5, confirm={"racing": racing})

    whole = run(plan(tmp_path / "whole"), toy=Lucky())
    for after in range(10, whole.trained + 1, 3):
        folder = tmp_path / str(after)
        stop, toy = StopAfter(after), Lucky()
        with pytest.raises(StudyInterrupted):
            run(plan(folder), toy=Lucky(), listeners=[stop], control=stop.control)
        assert stored_study.read(plan(folder)).phase in ("confirm", "test")
        result = run(plan(folder), toy=toy)
        assert after + len(toy.ran) == whole.trained
        assert [(r.label, r.values, r.stopped_after) for r in result.shown_rows] == [
            (r.label, r.values, r.stopped_after) for r in whole.shown_rows
        ]


def test_the_live_view_is_told_the_whole_number(tmp_path):
    events = []
    result = run(make_plan(tmp_path, seeds=4), listeners=[events.append])
    begun = [e.data for e in events if e.kind == "phase" and e.data["name"] == "confirm"]
    total = result.trained - 9
    assert begun[0]["total"] - total in (0, 2) and begun[-1]["total"] == total
    events.clear()
    run(make_plan(tmp_path, seeds=4), listeners=[events.append])
    begun = [e.data for e in events if e.kind == "phase" and e.data["name"] == "confirm"]
    assert {(one["total"], one["done"]) for one in begun} == {(total, total)}
    plan = make_plan(tmp_path, trials=9, seeds=4)
    assert plan.trainings == 9 + 3 * (2 + 4) + 4
    assert make_plan(tmp_path, seeds=4, confirm={"top": 1}).trainings == 9 + 4 * 4


def test_a_runner_up_that_fails_is_said(tmp_path):
    class Failing(Toy):
        def __call__(self, task, report):
            lr = task.params.get("sgd.lr", 0.01)
            if self.keep_models is not None and abs(lr - 0.01) > 1e-9:
                raise TrainingError("NonFiniteLoss", "the loss is nan")
            return super().__call__(task, report)

    result = run(make_plan(tmp_path, seeds=3), toy=Failing())
    row = next(row for row in result.rows if row.label == "sgd")
    assert len(row.values) == 3 and row.runners_up[0].confirm_failed == FIRST_SEEDS
    assert "sgd, runner-up: 2 confirm trainings failed" in warnings(result)
    assert stored_study.read(make_plan(tmp_path, seeds=3)).phase == "finished"
    assert run(make_plan(tmp_path, seeds=3)).trained == 0


def test_more_trials_change_who_is_confirmed(tmp_path):
    run(make_plan(tmp_path, trials=6, seeds=4))
    plan = make_plan(tmp_path, trials=20, seeds=4)
    result = run(plan, read_test_again=True)
    found = stored_study.read(plan)
    chosen = candidates(plan.spec, plan.goals, found.search, front=8, top=2)
    held = {(identity(r.params), r.seed) for r in found.confirm}
    for one in chosen:
        assert {(identity(one.params), seed) for seed in confirm_seeds(0, 4)[:2]} <= held
    assert all(len(row.values) == 4 for row in result.rows) and found.phase == "finished"
    assert found.result.rows == result.rows


def test_a_study_of_before_has_no_runners_up(tmp_path):
    """Its record has no ``confirm.top``: it is shown as it was run, and not as unfinished."""
    old = make_plan(tmp_path, seeds=3, confirm={"top": 1})
    result = run(old)
    attribute = plan_attribute(old)
    del attribute["settings"]["confirm"]["top"]
    now = Now(settings=Settings(), origins={}, location=old.location)
    _, values = old.fingerprint()
    plan = recorded_plan({RECORD: attribute, "fingerprint": {"values": values}}, now)
    assert plan.top == 1 and plan.settings.confirm.top == 1
    read = stored_study.read(dataclasses.replace(plan, data_fingerprint=old.data_fingerprint))
    assert read.phase == "finished"
    assert [(r.label, r.values) for r in read.result.shown_rows] == [
        (r.label, r.values) for r in result.rows
    ]


def test_fronts_and_populations_have_no_runners_up(tmp_path):
    several = make_plan(tmp_path, search={"objectives": {"parameters": "minimize"}})
    population = make_plan(tmp_path, engine={"ray": {"scheduler": "pbt"}})
    assert several.top == population.top == 1 and make_plan(tmp_path).top == 2


@pytest.mark.parametrize("top", [0, 9, -1, 1.5, "two"])
def test_the_setting_is_checked(tmp_path, top):
    with pytest.raises(ConfigError, match=r"confirm\.top"):
        make_plan(tmp_path, confirm={"top": top})


def test_confirmed_means_tell_of_the_luck_where_two_choices_have_them():
    def verdicts(runners_up, search=(0.9, 0.5)):
        values = {
            name: {seed: mean + n / 1000 for n, seed in enumerate(SEEDS[:4])}
            for name, mean in (("a", 0.98), ("b", 0.97), ("c", 0.5))
        }
        trials = {
            name: [
                dataclasses.replace(record(n, FIRST, n, value), params={"x": n}, value=value)
                for n, value in enumerate(search)
            ]
            for name in values
        }
        return reach_verdicts(
            values,
            direction="maximize",
            step=0.0,
            default=None,
            stopped=(),
            failed=(),
            complete={name: () for name in values},
            trials=trials,
            runners_up=runners_up,
        )

    other = {SEEDS[0]: 0.98, SEEDS[1]: 0.98}
    by_search = verdicts({})
    # One choice alone, or one seed, is not enough: then the search values tell.
    assert verdicts({"a": [other]}).choices == by_search.choices
    assert verdicts({"a": [other], "b": [{SEEDS[0]: 0.97}]}).choices == by_search.choices
    confirmed = verdicts({"a": [other], "b": [{**other, SEEDS[0]: 0.97}], "c": []}).choices
    assert confirmed.comparison.worse and "c" in confirmed.comparison.worse
    assert not by_search.choices.comparison.worse  # there the two are .4 apart
    assert verdicts({}).configurations == verdicts({"a": [other]}).configurations
