"""``--retry-failed``: failed trials are run again with the same number, params and seed.

The number of trials stays as planned. The earlier failures are kept with a trial (``failures``).
"""

from collections.abc import Sequence

import optuna
from optuna.trial import TrialState

from mnist_core.errors import ConfigError
from studies.core.attributes import ATTEMPT, FAILURE, FAILURES, PAUSE
from studies.core.events import Listener, Stream
from studies.core.trials import reason_text
from studies.search.failures import untrained
from studies.storage.open import Storage, whole_trials

_UNKNOWN = {"kind": "unknown", "message": "no reason was kept"}
RETRIED = "Retried"
"""Kind of the ``lost`` event of a trial that had failed and is to be run again."""


def check_retry(*, population: bool, join: bool) -> None:
    """Refuse to run the failed trials of a population again, or as one of several supervisors."""
    if population:
        raise ConfigError(
            "--retry-failed: the members of a population were trained with each other, so one"
            " cannot be run again alone; start fresh (--fresh)"
        )
    if join:
        raise ConfigError("--retry-failed: one supervisor alone can do it; leave --join out")


def retry_failed(study: optuna.Study, storage: Storage) -> int:
    """Have the failed trials of ``study`` wait again; return their number.

    Load the study again afterwards: Optuna keeps finished trials.
    """
    changes = {}
    for trial in whole_trials(study, {FAILURE, FAILURES, PAUSE}):
        # One that was not trained because it is over a limit would be over it again.
        if trial.state is TrialState.FAIL and not untrained(trial):
            last = trial.user_attrs.get(FAILURE) or _UNKNOWN
            before = [*trial.user_attrs.get(FAILURES, []), last]
            changes[trial.number] = {
                FAILURE: None,
                FAILURES: before,
                ATTEMPT: 0,
                **({PAUSE: None} if PAUSE in trial.user_attrs else {}),
            }
    if changes:
        storage.reopen(study.study_name, changes)
    return len(changes)


def announce(phase: str, study: optuna.Study, listeners: Sequence[Listener]) -> None:
    """Tell ``listeners`` which failed trials wait to be run again."""
    # Also those of an earlier run, which may have been killed before it told them.
    stream = Stream(phase, listeners)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        before = trial.user_attrs.get(FAILURES)
        if before:
            reason = reason_text(before[-1]["kind"], before[-1]["message"])
            message = f"it had failed: {reason}"
            stream.emit("lost", trial.number, kind=RETRIED, message=message, attempt=0)
