"""How a search stands by choice, as facts of the events that start a phase."""

from collections.abc import Iterable
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from studies.core.trials import TrialState as State
from studies.search.failures import is_feasible
from studies.storage.records import state_of

_LEADERS = 5


def result_of(trial: FrozenTrial) -> dict[str, Any] | None:
    """Return value (of the first objective), number and params of a feasible trial, else None."""
    if trial.state is not TrialState.COMPLETE or not is_feasible(trial):
        return None
    return {"value": trial.values[0], "trial": trial.number, "params": dict(trial.params)}


def best_result(
    results: Iterable[dict[str, Any]], direction: StudyDirection
) -> dict[str, Any] | None:
    """Return the best of ``results``, None if there are none."""
    pick = max if direction is StudyDirection.MAXIMIZE else min
    return pick(results, key=lambda result: result["value"], default=None)


def leaderboard(
    trials: Iterable[FrozenTrial], choice: str | None, direction: StudyDirection
) -> dict[str, Any]:
    """Return the ended trials by choice; without a ``choice`` the best trials; {}: none ended."""
    ended = [trial for trial in trials if trial.state.is_finished()]
    if not choice:
        found = sorted(filter(None, map(result_of, ended)), key=lambda result: result["value"])
        best = found[::-1] if direction is StudyDirection.MAXIMIZE else found
        return {"leaders": best[:_LEADERS]} if found else {}
    groups: dict[Any, list[FrozenTrial]] = {}
    for trial in ended:
        if choice in trial.params:
            groups.setdefault(trial.params[choice], []).append(trial)
    rows = [{"choice": name, **_row(group, direction)} for name, group in groups.items()]
    return {"choices": rows} if rows else {}


def _row(trials: list[FrozenTrial], direction: StudyDirection) -> dict[str, Any]:
    counts = dict.fromkeys((State.COMPLETE.word, State.PRUNED.word, State.FAIL.word), 0)
    for trial in trials:
        counts[state_of(trial.state).word] += 1
    return {**counts, "best": best_result(filter(None, map(result_of, trials)), direction)}
