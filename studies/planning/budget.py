"""How many trials a search has, and how many of them each choice gets."""

from collections.abc import Mapping

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from studies import catalog
from studies.planning.settings import SET, Settings
from studies.spec import StudySpec

_STARTED_PER_COMPLETE = 10
"""Most trials that start for each that is to be complete, unless search.trials is set."""


def search_trials(spec: StudySpec, settings: Settings, origins: Mapping[str, str]) -> int:
    """Return the most trials that the search starts."""
    search = settings.search
    complete, trials = search.trials_complete, search.trials
    file = catalog.file_of(spec.name)
    own = (None, f"{file} (fixed)", f"{file} (quick)")
    if complete is not None and origins.get("search.trials") in own:
        trials = _STARTED_PER_COMPLETE * complete
    if complete is not None and trials is not None and complete > trials:
        raise ConfigError(
            f"search.trials_complete: {complete} trials cannot be complete, as search.trials is"
            f" {trials}, the most that are started; raise it, or leave it out"
        )
    trials = spec.trials if trials is None else trials
    if origins.get("search.trials") != SET:  # only the command line means exactly this number
        trials = max(trials, (search.trials_per_choice or 0) * len(spec.choices))
    return trials


def least_per_choice(
    spec: StudySpec, settings: Settings, origins: Mapping[str, str], trials: int
) -> int:
    """Return the setting, or else the study's own number, which may not fit into ``trials``."""
    # The choices take turns even then, so that a study can be extended: the parameters that trial
    # number N must have do not depend on the number of trials.
    asked, choices = settings.search.trials_per_choice, len(spec.choices)
    if asked is not None and not spec.compares and origins.get("search.trials_per_choice") == SET:
        raise ConfigError(
            f"search.trials_per_choice: study {spec.name} compares no choices; leave it out"
        )
    if asked is None or not spec.compares:
        return spec.promised
    if asked * choices > trials:
        raise ConfigError(
            f"search.trials_per_choice: {asked} for each of {choices} choices of {spec.scientific}"
            f" need {counted(asked * choices, 'trial')}, but search.trials is {trials}; raise it"
        )
    return asked
