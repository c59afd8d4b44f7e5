"""Every sampler through the book: a search that was interrupted is the one that was not."""

import pytest
from toy import Toy, make_plan

from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.storage.open import close_storage, open_storage

OPTIONS = {"grid": {"points": 4}, "gp": {"n_startup_trials": 2}, "cmaes": {"popsize": 4}}
TRIALS = {"gp": 9}
UNTIL = {"gp": (7,)}


def run(folder, sampler, *, until=(), pruner="median", trials=None):
    """Params of all trials, in as many runs as it is stopped ``until`` one of these was over."""
    search = {
        "sampler": sampler,
        "sampler_options": OPTIONS.get(sampler, {}),
        "pruner": pruner,
        "sentinels": 0.3,
    }
    plan = make_plan(folder, trials=trials or TRIALS.get(sampler, 12), search=search)
    for stop in (*until, None):
        engine = Inline()

        def listen(event, stop=stop, engine=engine):
            if event.kind in ("complete", "pruned") and event.trial == stop:
                engine.stop()

        storage = open_storage(plan.storage_url, create=True)
        with open_search(plan, storage, listeners=[listen]) as book:
            engine.run(book, Toy(noise=0.01))
            records = book.records()
        close_storage(storage)
        if stop is not None:
            assert len(records) == stop + 1
    return [(r.state, r.params, r.seed, r.value, "sentinel" in r.attributes) for r in records]


@pytest.mark.parametrize(
    "sampler", ["random", "grid", "qmc", "screen", "tpe", "gp", "cmaes", "nsga2"]
)
def test_it_takes_the_same_course(tmp_path, sampler):
    straight = run(tmp_path / "straight", sampler)
    assert run(tmp_path / "resumed", sampler, until=UNTIL.get(sampler, (4, 9))) == straight
    if sampler != "gp":  # it may ask for its best again, as it takes values for noisy
        assert len({str(params) for _, params, *_ in straight}) == len(straight)
    assert any(marked for *_, marked in straight)


@pytest.mark.parametrize("pruner", ["successive_halving", "hyperband", "percentile"])
def test_with_each_pruner(tmp_path, pruner):
    straight = run(tmp_path / "straight", "random", pruner=pruner, trials=18)
    resumed = run(tmp_path / "resumed", "random", until=(4, 11), pruner=pruner, trials=18)
    assert resumed == straight
    assert any(state == "PRUNED" for state, *_ in straight)
