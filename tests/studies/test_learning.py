"""Learning from earlier studies: read once, tried second, weighed by agreement, never counted."""

import dataclasses
import json
import math
import random
import shutil

import pytest
from supervisors import results
from test_batch_order import reports
from toy import SPEC, Toy, make_plan

from mnist_core.errors import ConfigError
from objectives.base import Outcome
from search_spaces.space import Choice, Float, Space, When
from studies.analysis import stored_study
from studies.core.attributes import LEARNED
from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.protocol.carry_over import carry
from studies.protocol.replay import Replay
from studies.storage.open import close_storage, open_storage

EARLIER = "before"


def study(folder, name="toy", *, sqlite=False, spec=SPEC, **search):
    """A plan of study ``name`` in ``folder``."""
    settings = {"pruner": "none", "sampler": "random", **search}
    plan = make_plan(folder, search=settings, trials=9)
    place = folder / name
    url = f"sqlite:///{place / 'study.db'}" if sqlite else f"journal:///{place / 'log'}"
    return dataclasses.replace(plan, name=name, spec=spec, folder=place, storage_url=url)


def run(plan, *, until=None, objective=None):
    """Run the search of ``plan``; return its trials and what was said."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    storage = open_storage(plan.storage_url, create=True)
    engine, said = Inline(), []

    def listen(event):
        if event.kind == "message":
            said.append(event.data["text"])
        if event.kind == "complete" and event.trial == until:
            engine.stop()

    try:
        with open_search(plan, storage, listeners=[listen]) as book:
            engine.run(book, objective or Toy())
            return book.study.get_trials(deepcopy=False), said
    finally:
        close_storage(storage)


@pytest.fixture
def before(tmp_path):
    """An earlier study: its plan and trials."""
    plan = study(tmp_path, EARLIER)
    return plan, run(plan)[0]


def best(trials, choice):
    own = [t for t in trials if t.params["optim.name"] == choice]
    return max(own, key=lambda trial: trial.value)


@pytest.mark.parametrize("sqlite", [False, True])
@pytest.mark.parametrize("sampler", ["random", "screen", "tpe", "grid"])
def test_the_best_of_each_choice_is_its_second_trial(tmp_path, before, sampler, sqlite):
    plan, earlier = before
    options = {"sampler_options": {"points": 5}} if sampler == "grid" else {}
    learn = {"learn_from": [str(plan.folder)], "sampler": sampler, **options}
    trials, said = run(study(tmp_path, sqlite=sqlite, **learn))
    known = {json.dumps(SPEC.defaults[c], sort_keys=True) for c in SPEC.choices}
    wanted = []
    for choice in SPEC.choices:
        one = best(earlier, choice)
        own = {name: value for name, value in one.params.items() if name != "optim.name"}
        if json.dumps(own, sort_keys=True) not in known:
            wanted.append((one.value, one.params, {"study": EARLIER, "trial": one.number}))
    wanted = [(params, origin) for _, params, origin in sorted(wanted, key=lambda w: -w[0])]
    assert [(t.params, t.user_attrs[LEARNED]) for t in trials if LEARNED in t.user_attrs] == wanted
    assert [t.number for t in trials if LEARNED in t.user_attrs] == [*range(3, 3 + len(wanted))]
    assert len(trials) == 9
    counts = [sum(t.params["optim.name"] == c for t in trials) for c in SPEC.choices]
    assert min(counts) >= 2, "each choice keeps its turns"
    assert any("9 trials of before" in line for line in said)
    assert any("random does not lean" in line for line in said) is (sampler == "random")


class Poor(Toy):
    """Another problem: best at a far lower rate."""

    def __call__(self, task, report):
        [lr] = [value for name, value in task.params.items() if name != "optim.name"]
        value = 0.9 - 0.1 * abs(math.log10(lr) + 4)
        for step in (1, 2, 3):
            report(step, {"val_accuracy": value})
        return Outcome(metrics={"val_accuracy": value})


@pytest.mark.parametrize("cut", [None, 5])
def test_after_one_that_disappoints_the_sampler_proposes(tmp_path, cut):
    before = study(tmp_path, EARLIER, sampler="qmc")
    earlier = run(before, objective=Toy(noise=0))[0]
    learning = study(tmp_path, learn_from=[str(before.folder)])
    if cut:
        run(learning, objective=Poor(), until=cut)
    trials, _ = run(learning if cut is None else study(tmp_path), objective=Poor())
    origins = [t.user_attrs[LEARNED] for t in trials if LEARNED in t.user_attrs]
    tried = [t for t in trials if not t.user_attrs.get(LEARNED, {"left": True}).get("left")]
    default = {t.params["optim.name"]: t.value for t in trials[:3]}
    worse = [t.value < default[t.params["optim.name"]] for t in tried]
    assert worse.count(True) <= 1 and not any(worse[:-1])
    left = [one for one in origins if one.get("left")]
    assert len(left) == len(origins) - len(tried)
    for trial in trials:
        origin = trial.user_attrs.get(LEARNED, {})
        if origin.get("left"):
            one = earlier[origin["trial"]]
            assert trial.params["optim.name"] == one.params["optim.name"]
            assert trial.params != one.params
    assert len(trials) == 9


def test_a_confirmed_mean_comes_before_a_search_value(tmp_path, before):
    plan, earlier = before
    storage = open_storage(plan.storage_url, create=False)
    from optuna.study import StudyDirection
    from optuna.trial import create_trial

    from studies.search.optuna_bridge import to_distribution
    from studies.storage.open import create_study

    confirm = create_study(f"{EARLIER}.confirm", storage, [StudyDirection.MAXIMIZE])
    own = [t for t in earlier if t.params["optim.name"] == "adam"]
    worst = min(own, key=lambda trial: trial.value)
    distributions = {n: to_distribution(SPEC.space.parameters[n]) for n in worst.params}
    for value in (0.1, 0.2):
        confirm.add_trial(
            create_trial(params=worst.params, distributions=distributions, value=value)
        )
    close_storage(storage)
    trials, _ = run(study(tmp_path, learn_from=[str(plan.folder)]))
    learned = [t for t in trials if LEARNED in t.user_attrs and t.params["optim.name"] == "adam"]
    assert worst.number < 3 or learned[0].params == worst.params


def batches(plan, workers, chance, *, until=None):
    """Run ``plan`` in batch order with steps that take turns by chance; return its trials."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    storage = open_storage(plan.storage_url, create=True)
    turns, running, told = random.Random(chance), [], 0
    with open_search(plan, storage) as book:
        while told != until:
            while len(running) < workers and (task := book.ask()) is not None:
                running.append([task, reports(task), 0])
            if not running:
                break
            chosen = turns.choice(running)
            task, values, step = chosen
            book.report(task, step + 1, {"val_accuracy": values[step]})
            book.flush()
            chosen[2] += 1
            if step == 2:
                running.remove(chosen)
                book.finish(task, Outcome(metrics={"val_accuracy": values[step]}))
                told += 1
    close_storage(storage)
    return results(plan.storage_url)


@pytest.mark.parametrize("sampler", ["screen", "tpe"])
def test_batch_order_repeats_it_through_a_stop_though_the_earlier_study_is_gone(
    tmp_path, before, sampler
):
    search = {"order": "batch", "batch": 3, "sampler": sampler}

    def plan(place):
        found = study(tmp_path / place, learn_from=[str(before[0].folder)], **search)
        return dataclasses.replace(found, trials=15)

    straight = batches(plan("1"), 1, 0)
    assert batches(plan("3"), 3, 1) == straight
    batches(plan("cut"), 2, 2, until=5)
    shutil.rmtree(before[0].folder)
    again = dataclasses.replace(study(tmp_path / "cut", **search), trials=15)
    assert batches(again, 3, 3) == straight


def test_a_search_that_learned_is_replayed(tmp_path, before):
    search = {"sampler": "tpe", "sampler_options": {"n_startup_trials": 4}}
    plan = study(tmp_path, learn_from=[str(before[0].folder)], **search)
    run(plan, until=5)
    run(study(tmp_path, **search))
    shutil.rmtree(before[0].folder)
    (tmp_path / "again").mkdir()
    with plan.location.opened() as studies:
        replayed = Replay(plan, studies.search, tmp_path / "again").go()
    assert replayed.proposals == 9


def test_a_fork_learns_anew_and_its_carried_trials_are_its_own(tmp_path, before):
    plan = study(tmp_path, learn_from=[str(before[0].folder)])
    trials, _ = run(plan)
    fork = dataclasses.replace(plan, name="toy-wide", folder=tmp_path / "toy-wide")
    carried = carry(fork, study="toy", values=plan.fingerprint()[1], trials=trials)
    assert carried.count == len(trials) and any(LEARNED in t.user_attrs for t in trials)
    assert not any(LEARNED in trial.user_attrs for trial in carried.trials)


def test_a_password_is_refused_and_not_shown(tmp_path):
    plan = study(tmp_path, learn_from=["postgresql+psycopg://me:secret@host/db#toy"])
    with pytest.raises(ConfigError, match="password") as caught:
        run(plan)
    assert "secret" not in str(caught.value)


def test_a_study_that_has_begun_reads_no_more(tmp_path, before):
    run(study(tmp_path), until=4)
    trials, said = run(study(tmp_path, learn_from=[str(before[0].folder)]))
    assert not any(LEARNED in trial.user_attrs for trial in trials)
    assert any("ignored" in line for line in said)


@pytest.mark.parametrize("sampler", ["screen", "qmc", "random", "tpe", "gp", "nsga2", "cmaes"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_same_sequence_does_not_repeat_what_was_learned(tmp_path, sampler, seed):
    """With the same search.seed, the earlier best is a point of the new study's own sequence."""
    earlier = study(tmp_path, EARLIER, sampler=sampler, seed=seed)
    run(earlier)
    plan = study(tmp_path, learn_from=[str(earlier.folder)], sampler=sampler, seed=seed)
    trials, _ = run(plan)
    assert any(LEARNED in trial.user_attrs for trial in trials)
    points = [json.dumps(trial.params, sort_keys=True) for trial in trials]
    assert len(points) == 9
    for point, trial in zip(points, trials, strict=True):
        assert LEARNED not in trial.user_attrs or points.count(point) == 1
    # An interrupted study goes on to the same trials.
    cut = study(tmp_path / "cut", learn_from=[str(earlier.folder)], sampler=sampler, seed=seed)
    run(cut, until=5)
    assert [trial.params for trial in run(cut)[0]] == [trial.params for trial in trials]


def test_a_finished_study_says_so_too(tmp_path, before):
    run(study(tmp_path))
    _, said = run(study(tmp_path, learn_from=[str(before[0].folder)]))
    assert any("ignored" in line for line in said)


def test_it_is_shown_and_not_counted(tmp_path, before):
    plan = study(tmp_path, learn_from=[str(before[0].folder)], sampler="screen")
    run(plan)
    found = stored_study.read(plan)
    assert len(found.search) == 9
    [learned] = found.result.learned
    assert learned.study == EARLIER and learned.trials == 9 and 0 <= learned.weight <= 1
    assert "Learned from before (9 trials)" in str(learned)


def test_parameters_that_the_earlier_space_lacks_are_proposed(tmp_path, before):
    wider = {**SPEC.space.parameters, "label_smoothing": Float(0.0, 0.2)}
    space = Space(wider)
    defaults = {c: {**given, "label_smoothing": 0.0} for c, given in SPEC.defaults.items()}
    spec = dataclasses.replace(SPEC, space=space, defaults=defaults)
    trials, _ = run(study(tmp_path, spec=spec, learn_from=[str(before[0].folder)]))
    learned = [trial for trial in trials if LEARNED in trial.user_attrs]
    assert len(learned) == 3 and all("label_smoothing" in trial.params for trial in learned)
    for trial in (t for t in learned if not t.user_attrs[LEARNED].get("left")):
        one = best(before[1], trial.params["optim.name"])
        assert one.params.items() <= trial.params.items()


def test_trials_outside_the_ranges_do_not_count(tmp_path, before):
    narrow = {
        **SPEC.space.parameters,
        "sgd.lr": Float(
            0.0099, 0.0101, log=True, sets="optim.lr", when=When("optim.name", ("sgd",))
        ),
    }
    spec = dataclasses.replace(SPEC, space=Space(narrow))
    trials, said = run(study(tmp_path, spec=spec, learn_from=[str(before[0].folder)]))
    assert any("do not fit" in line for line in said)
    assert all(t.params["optim.name"] != "sgd" for t in trials if LEARNED in t.user_attrs)


def other_choices():
    space = Space({"optim.name": Choice(("muon", "nadam")), "batch_size": Choice((32, 64))})
    given = {"muon": {"batch_size": 32}, "nadam": {"batch_size": 32}}
    return dataclasses.replace(SPEC, space=space, defaults=given, baseline="muon")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda spec: dataclasses.replace(spec, metric="test_accuracy"), "metric"),
        (lambda spec: dataclasses.replace(spec, direction="minimize"), "direction"),
        (lambda spec: other_choices(), "choices"),
    ],
)
def test_a_study_of_another_question_is_one_line(tmp_path, before, change, part):
    plan = study(tmp_path, spec=change(SPEC), learn_from=[str(before[0].folder)])
    with pytest.raises(ConfigError, match=part) as caught:
        run(plan)
    assert str(caught.value).startswith("--learn-from") and "\n" not in str(caught.value)
    assert not results_of(plan), "nothing is left behind"


def results_of(plan):
    with plan.location.opened() as studies:
        return studies.names


@pytest.mark.parametrize(
    "name", ["befor", "optim_serch", "journal:///nowhere/log", "itself", "empty"]
)
def test_a_wrong_name_is_one_line(tmp_path, before, name):
    text, plan = name, study(tmp_path)
    if name == "itself":
        run(plan, until=0)
        shutil.copytree(plan.folder, tmp_path / "copy")
        text, plan = str(plan.folder), study(tmp_path, learn_from=[str(plan.folder)])
    if name == "empty":
        none = study(tmp_path, EARLIER + "-2")
        run(none, objective=Toy(failing=SPEC.choices))
        text = str(none.folder)
    plan = study(tmp_path / "new" if name != "itself" else tmp_path, learn_from=[text])
    if name == "itself":
        _, said = run(plan)
        assert any("ignored" in line for line in said)
        return
    with pytest.raises(ConfigError) as caught:
        run(plan)
    assert str(caught.value).startswith(f"--learn-from {text}")
    assert "\n" not in str(caught.value)


def test_a_database_and_all_studies_in_the_folder(tmp_path, before, monkeypatch):
    plan = before[0]
    trials, _ = run(study(tmp_path / "url", learn_from=[f"{plan.storage_url}#{EARLIER}"]))
    assert any(LEARNED in trial.user_attrs for trial in trials)
    shutil.copytree(plan.folder, tmp_path / "results" / EARLIER)
    monkeypatch.chdir(tmp_path)
    every, _ = run(study(tmp_path / "results", learn_from=["all"]))
    pick = [t.params for t in trials if LEARNED in t.user_attrs]
    assert [t.params for t in every if LEARNED in t.user_attrs] == pick
