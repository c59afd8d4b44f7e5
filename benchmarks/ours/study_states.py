"""What became of the trials of a study in a storage; for ``scale.py``.

    python benchmarks/ours/study_states.py URL STUDY

Its last line is JSON: ``states``, how many trials ended in each; ``numbers``, whether none is
missing; ``seconds`` from the first begin to the last end.
"""

import json
import sys
from collections import Counter

import optuna


def main() -> None:
    """Read the study, print what is there."""
    url, name = sys.argv[1:]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = optuna.load_study(study_name=name, storage=url).get_trials(deepcopy=False)
    begun = min(trial.datetime_start for trial in trials if trial.datetime_start)
    ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    found = {
        "states": Counter(trial.state.name for trial in trials),
        "numbers": [trial.number for trial in trials] == list(range(len(trials))),
        "seconds": (ended - begun).total_seconds(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
