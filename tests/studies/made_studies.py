"""Studies of any kind, made by hypothesis: what a storage must hold without loss."""

import math
from datetime import datetime

from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.storage.contents import Content

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ATTRIBUTES = st.dictionaries(NAMES, JSON, max_size=4)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1))
DISTRIBUTIONS = {
    "x": FloatDistribution(-1.0, 1.0),
    "rate": FloatDistribution(1e-5, 1.0, log=True),
    "grid": FloatDistribution(0.0, 1.0, step=0.25),
    "n": IntDistribution(1, 2**40, log=True),
    "kind": CategoricalDistribution(("sgd", None, True, 3, 0.5)),
}
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "x": st.floats(-1.0, 1.0) | st.floats(2.0, 3.0),  # enqueued, and out of range
        "rate": st.floats(1e-5, 1.0),
        "grid": st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
        "n": st.integers(1, 2**40),
        "kind": st.sampled_from(["sgd", None, True, 3, 0.5]),
    },
)


@st.composite
def trials(draw, number, objectives):
    state = draw(st.sampled_from(list(TrialState)))
    params = draw(PARAMS)
    valued = state is TrialState.COMPLETE or (state is TrialState.PRUNED and draw(st.booleans()))
    values = draw(st.lists(NUMBERS, min_size=objectives, max_size=objectives)) if valued else None
    return FrozenTrial(
        number=number,
        trial_id=-1,
        state=state,
        value=None,
        values=values,
        datetime_start=None if state is TrialState.WAITING else draw(TIMES),
        datetime_complete=draw(TIMES) if state.is_finished() else None,
        params=params,
        distributions={name: DISTRIBUTIONS[name] for name in params},
        user_attrs=draw(ATTRIBUTES),
        system_attrs=draw(ATTRIBUTES),
        intermediate_values=draw(
            st.dictionaries(
                st.integers(0, 2**31 - 1), NUMBERS | st.just(math.nan), max_size=4
            )
        ),
    )  # fmt: skip


@st.composite
def contents(draw, name="toy"):
    directions = draw(st.lists(st.sampled_from(list(StudyDirection)[1:]), min_size=1, max_size=2))
    count = draw(st.integers(0, 5))
    return Content(
        name=name,
        directions=directions,
        user_attrs=draw(ATTRIBUTES),
        system_attrs=draw(ATTRIBUTES),
        trials=[draw(trials(number, len(directions))) for number in range(count)],
    )
