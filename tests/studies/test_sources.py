"""Where new trials come from: defaults, known configurations, turns, grid; over all resumes."""

import dataclasses
from collections import Counter

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from toy import SPEC, make_plan

from studies.core.attributes import ENQUEUED, SENTINEL
from studies.search.enqueued import EnqueuedConfig
from studies.search.pruning import sentinels
from studies.search.sources import SearchSource

SGD = EnqueuedConfig(params={"optim.name": "sgd", "sgd.lr": 0.5}, source="sgd.toml")
ADAM = EnqueuedConfig(params={"optim.name": "adam", "adam.lr": 0.05}, source="adam.toml")
OTHER_ADAM = EnqueuedConfig(params={"optim.name": "adam", "adam.lr": 0.06}, source="other.toml")
DEFAULT = EnqueuedConfig(params={"optim.name": "adam", "adam.lr": 0.001}, source="default.toml")


def plan_of(tmp_path, **settings):
    trials = settings.pop("trials", 12)
    per_choice = settings.pop("per_choice", 3)
    plan = make_plan(tmp_path, trials=trials, search=settings)
    return dataclasses.replace(plan, trials_per_choice=per_choice)


def trial_of(number, entry):
    """As the storage has trial ``number`` that ``entry`` asked for."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.COMPLETE,
        value=0.5,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs=dict(entry.attributes),
        system_attrs={"fixed_params": dict(entry.params)},
        intermediate_values={},
    )


def all_entries(source):
    entries = []
    while (entry := source.request(len(entries))) is not None:
        entries.append(entry)
    return entries


def test_without_extras_it_is_the_plan(tmp_path):
    plan = plan_of(tmp_path)
    entries = all_entries(SearchSource(plan))
    assert len(entries) == 12
    assert [dict(e.params) for e in entries] == [plan.required_params(n) for n in range(12)]
    assert all(not entry.attributes for entry in entries)
    assert len({entry.seed for entry in entries}) == 12


def test_known_configurations_follow_the_defaults_and_take_their_choices_turns(tmp_path):
    plan = plan_of(tmp_path)
    entries = all_entries(SearchSource(plan, [SGD, ADAM]))
    assert [e.params["optim.name"] for e in entries[:3]] == ["adam", "sgd", "adagrad"]
    assert [dict(e.params) for e in entries[3:5]] == [SGD.params, ADAM.params]
    assert [e.attributes.get(ENQUEUED) for e in entries[3:6]] == ["sgd.toml", "adam.toml", None]
    named = Counter(e.params["optim.name"] for e in entries if e.params)
    assert named == {"sgd": 3, "adam": 3, "adagrad": 3}
    assert [dict(e.params) for e in entries[9:]] == [{}] * 3


def test_more_of_one_choice_than_its_turns_leaves_the_others_theirs(tmp_path):
    source = SearchSource(plan_of(tmp_path, per_choice=2), [ADAM, OTHER_ADAM])
    named = Counter(e.params["optim.name"] for e in all_entries(source) if e.params)
    assert named == {"sgd": 2, "adam": 3, "adagrad": 2}


@pytest.mark.parametrize("stop", range(13))
def test_an_interrupted_study_takes_the_same_course(tmp_path, stop):
    plan = plan_of(tmp_path)
    known = [SGD, ADAM, OTHER_ADAM]
    straight = all_entries(SearchSource(plan, known))
    trials = [trial_of(number, entry) for number, entry in enumerate(straight[:stop])]
    resumed = SearchSource(plan, known, trials)
    assert [resumed.request(n) for n in range(stop, 12)] == straight[stop:]
    assert resumed.request(12) is None


def test_what_is_enqueued_later_comes_next(tmp_path):
    plan = plan_of(tmp_path)
    trials = [trial_of(n, e) for n, e in enumerate(all_entries(SearchSource(plan, [SGD]))[:6])]
    source = SearchSource(plan, [SGD, ADAM], trials)
    assert dict(source.request(6).params) == ADAM.params
    names = [e.params.get("optim.name") for e in (source.request(n) for n in range(6, 12))]
    turns = [t.system_attrs["fixed_params"]["optim.name"] for t in trials] + names
    assert Counter(turns)["adam"] == Counter(turns)["adagrad"] == Counter(turns)["sgd"] == 3


def test_a_configuration_that_is_a_trial_already_is_said_and_not_run_again(tmp_path):
    plan = plan_of(tmp_path, enqueue=["default.toml", "sgd.toml"])
    source = SearchSource(plan, [DEFAULT, SGD])
    entries = all_entries(source)
    assert dict(entries[3].params) == SGD.params
    assert source.notes == ["--enqueue default.toml: its configuration is trial 0; it is run once"]
    trials = [trial_of(number, entry) for number, entry in enumerate(entries[:5])]
    assert len(SearchSource(plan, [DEFAULT, SGD], trials).notes) == 2
    assert SearchSource(plan_of(tmp_path), [DEFAULT, SGD], trials).notes == []


def test_trials_are_added_for_what_is_enqueued(tmp_path):
    source = SearchSource(plan_of(tmp_path, trials=4), [SGD, ADAM])
    assert source.total == 5 and source.request(5) is None
    assert "1 trial more than search.trials, which is 4" in source.notes[0]


def test_trials_are_added_so_that_no_choice_loses_its_own(tmp_path):
    plan = plan_of(tmp_path, trials=6, per_choice=2)
    assert SearchSource(plan, [ADAM]).total == 6  # takes adam's own second turn
    source = SearchSource(plan, [ADAM, OTHER_ADAM])
    counts = Counter(entry.params["optim.name"] for entry in all_entries(source))
    assert counts == {"adam": 3, "sgd": 2, "adagrad": 2}


class TestGrid:
    def plan(self, tmp_path, trials, **options):
        return plan_of(tmp_path, trials=trials, sampler="grid", sampler_options=options)

    def test_it_ends_when_there_are_no_more_points(self, tmp_path):
        plan = self.plan(tmp_path, 50, points=4)
        source = SearchSource(plan, [SGD])
        entries = all_entries(source)
        # Each grid holds its choice's default, after rounding; no grid holds what is enqueued.
        tried = {tuple(e.params.items()) for e in entries}
        assert len(entries) == source.total == len(tried)
        assert source.total == 12 + 1
        for entry in entries:
            SPEC.space.check(entry.params)

    def test_each_choice_has_its_turns_first(self, tmp_path):
        entries = all_entries(SearchSource(self.plan(tmp_path, 12, points=5)))
        named = [e.params["optim.name"] for e in entries]
        assert named[:9] == ["adam", "sgd", "adagrad"] * 3

    @pytest.mark.parametrize("stop", [0, 2, 5, 11, 15])
    def test_a_resume_repeats_and_skips_nothing(self, tmp_path, stop):
        plan = self.plan(tmp_path, 50, points=4)
        straight = all_entries(SearchSource(plan))
        trials = [trial_of(n, e) for n, e in enumerate(straight[:stop])]
        resumed = SearchSource(plan, [], trials)
        rest = [resumed.request(n) for n in range(stop, resumed.total)]
        assert [dict(e.params) for e in rest] == [dict(e.params) for e in straight[stop:]]

    def test_it_leaves_nothing_to_a_sampler(self, tmp_path):
        source = SearchSource(self.plan(tmp_path, 50, points=2))
        study = optuna.create_study()
        for number in range(source.total):
            entry = source.request(number)
            study.enqueue_trial(dict(entry.params))
            study.sampler = source.sampler(number)
            assert source.suggest(study.ask()) == dict(entry.params)


def drawn_of(plan):
    return sentinels(plan.settings.search, range(len(plan.spec.defaults), plan.trials))


class TestSentinels:
    def test_none_unless_asked_for(self, tmp_path):
        assert drawn_of(plan_of(tmp_path)) == ()
        assert drawn_of(plan_of(tmp_path, sentinels=3.0, pruner="none")) == ()

    def test_so_many_and_never_a_default(self, tmp_path):
        drawn = drawn_of(plan_of(tmp_path, trials=40, sentinels=5.0))
        assert len(drawn) == 5 and min(drawn) >= 3 and max(drawn) < 40
        assert drawn != drawn_of(plan_of(tmp_path, trials=40, sentinels=5.0, seed=1))
        assert len(drawn_of(plan_of(tmp_path, trials=12, sentinels=100.0))) == 9

    def test_a_share_draws_the_same_when_the_study_is_extended(self, tmp_path):
        small = drawn_of(plan_of(tmp_path, trials=200, sentinels=0.25))
        large = drawn_of(plan_of(tmp_path, trials=400, sentinels=0.25))
        assert {n for n in large if n < 200} == small
        assert 0.2 < len(large) / 397 < 0.3

    def test_their_trials_are_marked_and_asked_about(self, tmp_path):
        plan = plan_of(tmp_path, trials=12, sentinels=4.0)
        source = SearchSource(plan)
        marked = {n for n, e in enumerate(all_entries(source)) if e.attributes.get(SENTINEL)}
        assert marked == set(drawn_of(plan))
        assert [source.may_prune(n) for n in range(5)] == [False] * 3 + [True] * 2
