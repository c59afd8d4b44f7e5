"""Names and shapes of the user attributes that studies and trials keep in their storage."""

from collections.abc import Mapping, Sequence
from typing import Any

# --- Of every trial; the book writes them.

SEED = "seed"
ATTEMPT = "attempt"
METRICS = "metrics"
SECONDS = "seconds"
FAILURE = "failure"
FAILURES = "failures"
ORDER = "order"
OWNER = "supervisor"
PAUSE = "pause"  # the last pause of a trial, see ``core/pauses.py``
RESERVED = frozenset({SEED, ATTEMPT, METRICS, SECONDS, FAILURE, FAILURES, ORDER, OWNER, PAUSE})
"""An objective cannot leave attributes with these names."""

# --- Of some trials.

SENTINEL = "sentinel"  # the trial runs unpruned
WOULD_PRUNE = "would_prune"
"""System attribute of a sentinel: the step at which the pruner would have stopped it."""
CARRIED = "carried"  # where a trial of a fork comes from: ``{"study": name, "trial": number}``
ENTRY = "entry"  # the entry of the list of configurations that a confirm trial trains
LABEL = "label"  # the name in tables of the configuration that a confirm trial trains
SCHEDULE = "schedule"
"""Hyperparameters of a finished member by epoch, and the trial whose state it copied:
``[{"epoch": 0, "params": …}, {"epoch": 2, "source": 5, "params": …}]``."""
LINEAGE = "lineage"  # the one training that a finished member is if it copied another member

# --- Of a study.

LEASE = "lease"  # the lease of the only supervisor, or None
PART = "part:"  # how the names begin that hold the leases of several supervisors
IDENTITY = "identity"  # the study's random identity
FINGERPRINT = "fingerprint"  # ``{"hash": ..., "values": ...}``
CODE = "code"  # name of the hashes of a user's own code among the fingerprint's values
RECORD = "plan"  # the plan of the last run, see ``plan_attribute``
BUDGET = "budget"  # trials and confirm seeds of the last run, as in ``Plan``
RUNS = "runs"  # for each run the number of its first event, and its settings
FOLDERS = "folders"  # the folders that the study has run in
TEST_DATA = "test_data"
"""Fingerprint of the data if its test files were added after the study's start."""
FORKED = "forked"  # where the study comes from, see ``Forked``
SEARCH_ORDER = "order"  # the batch order of the search; None: asynchronous
STOPPED = "stopped"  # why the search ended early, or None
ENQUEUED = "enqueued"
"""All configurations that were enqueued; of a trial: the file that it comes from."""
IMPORTED = "imported"  # the imported results; of a trial that a sampler sees: file and line
LEARNED = "learned"
"""What was read of earlier studies when the search began; of a trial: the study and trial whose
configuration it has."""
POPULATION = "population"  # the record of a population

# --- Of a confirm study.

CONFIRM = ".confirm"  # how the name of a study's confirmation ends
ENVIRONMENT = "environment"  # versions, data hashes and commits of the code
TEST = "test"  # the record of the readings of the test set
RACE = "race"  # configurations that the race stopped: ``{identity of the params: seeds}``

_OF_A_STUDY: Mapping[str, Any] = {
    IDENTITY: str,
    FINGERPRINT: {"hash": str, "values": dict},
    RECORD: dict,
    BUDGET: {"trials": int, "confirm_seeds": int},
    RUNS: [{"from": int, "search": dict, "trials": int, "known": int}],
    FOLDERS: [str],
    FORKED: {"study": str, "carried": int, "left": list},
    SEARCH_ORDER: dict,
    STOPPED: {"rule": str, "why": str, "trials": int, "planned": int},
    ENQUEUED: [{"params": dict, "source": str}],
    IMPORTED: [{"params": dict, "values": list, "source": str}],
    LEARNED: {"asked": [str], "studies": [{"study": str, "left": int, "trials": [dict]}]},
    POPULATION: {"generations": list},
    ENVIRONMENT: dict,
    TEST: {"openings": list, "values": dict},
    RACE: dict,
}
_OF_A_TRIAL: Mapping[str, Any] = {
    SEED: int,
    ATTEMPT: int,
    METRICS: dict,
    SECONDS: (int, float),
    FAILURE: {"kind": str, "message": str},
    FAILURES: [{"kind": str, "message": str}],
    ORDER: str,
    PAUSE: {"at": int, "until": int, "seconds": (int, float)},
}


def misshapen(study: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the first attribute that has not its shape, "" if all have theirs.

    ``trials`` are the user attributes of the trials of ``study``, by number.
    """
    if FINGERPRINT not in study:
        # Studies of other programs have any shape.
        return ""
    for name, shape in _OF_A_STUDY.items():
        if not _fits(study.get(name), shape):
            return name
    for number, attributes in enumerate(trials):
        for name, shape in _OF_A_TRIAL.items():
            if not _fits(attributes.get(name), shape):
                return f"{name} of trial {number}"
    return ""


def _fits(value: Any, shape: Any) -> bool:
    if value is None:  # not set, or reset
        return True
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            value.get(name) is not None and _fits(value[name], of) for name, of in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(
            one is not None and _fits(one, shape[0]) for one in value
        )
    return isinstance(value, shape)
