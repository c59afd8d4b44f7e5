"""Peers are what a look at all trials finds, however they began and ended."""

import optuna
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from studies.core.goals import Goals
from studies.search.pruning import PruningPeers

KINDS = optuna.distributions.CategoricalDistribution(("a", "b", None))


def trial(number, kind):
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={"kind": kind},
        distributions={"kind": KINDS},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "end", "lose"]),
        st.sampled_from(["a", "b", None]),
        st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]),
        st.integers(0, 1000),
    ),
    max_size=40,
)


@given(steps=STEPS, scientific=st.sampled_from(["kind", "missing", None]))
def test_as_a_look_at_all_of_them(steps, scientific):
    trials = {}
    pruning = ("none", {}, scientific)
    peers = PruningPeers(trials, Goals(metric="val_accuracy"), pruning, write=None)
    for what, kind, state, pick in steps:
        number = pick % len(trials) if trials else 0
        if what == "new" or not trials:
            trials[len(trials)] = trial(len(trials), kind)
        elif what == "end":
            if not trials[number].state.is_finished():
                trials[number].state = state
        elif not trials[number].state.is_finished():
            trials[number] = trial(number, kind)  # run again, read anew
        for one in trials.values():
            wanted = [
                other
                for other in trials.values()
                if scientific is None or other.params.get(scientific) == one.params.get(scientific)
            ]
            assert [id(found) for found in peers.of(one)] == [id(other) for other in wanted]
