"""``--retry-failed``: trials that failed are run again, with the number, params and seed they had.

So the trials stay as many as planned. Why a trial failed before is kept with it, in ``failures``.
One that was not trained, as it is over a limit, would be over it again, and stays as it is.
"""

from collections.abc import Sequence

import optuna
from optuna.trial import TrialState

from mnist_core.errors import ConfigError
from studies.core.attributes import ATTEMPT, FAILURE, FAILURES
from studies.core.events import Listener, Stream
from studies.planning.plan import Plan
from studies.search.failures import untrained
from studies.search.population_checks import is_population
from studies.storage.open import Storage, whole_trials
from studies.storage.reopening import reopen

_UNKNOWN = {"kind": "unknown", "message": "no reason was kept"}
RETRIED = "Retried"
"""Kind of the ``lost`` event of a trial that had failed and is to be run again."""


def check_retry(plan: Plan, *, join: bool) -> None:
    """Check that failed trials of ``plan``'s study can be run again.

    Raises:
        ConfigError: it is a population, or it is to be searched together with others.
    """
    if is_population(plan):
        raise ConfigError(
            "--retry-failed: the members of a population were trained with each other, so none can"
            " be run again alone; begin anew (--fresh)"
        )
    if join:
        raise ConfigError("--retry-failed: one supervisor alone can do it; leave --join out")


def retry_failed(study: optuna.Study, storage: Storage) -> int:
    """Have the failed trials of ``study`` wait again; return how many.

    Args:
        study: leased to this process. It may hold in memory what was: load it again.
        storage: of the study.
    """
    changes = {}
    for trial in whole_trials(study, {FAILURE, FAILURES}):
        if trial.state is TrialState.FAIL and not untrained(trial):
            last = trial.user_attrs.get(FAILURE) or _UNKNOWN
            before = [*trial.user_attrs.get(FAILURES, []), last]
            changes[trial.number] = {FAILURE: None, FAILURES: before, ATTEMPT: 0}
    if changes:
        reopen(storage, study.study_name, changes)
    return len(changes)


def announce(phase: str, study: optuna.Study, listeners: Sequence[Listener]) -> None:
    """Tell ``listeners`` which trials had failed and wait to be run again.

    Those of an earlier run, too: it may have been killed before it said so.
    """
    stream = Stream(phase, listeners)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        before = trial.user_attrs.get(FAILURES)
        if before:
            message = f"it had failed: {before[-1]['kind']}: {before[-1]['message']}"
            stream.emit("lost", trial.number, kind=RETRIED, message=message, attempt=0)
