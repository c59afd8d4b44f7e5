"""Lines about the earlier studies that a study learns from, before its search and after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from mnist_core.console.plain_text import counted
from studies.planning.settings import SearchSettings
from studies.search.branches import deciding
from studies.search.earlier import EarlierStudy, from_attribute
from studies.search.guides import guides, weights
from studies.search.learning import OPTION
from studies.search.sampler_kinds import SAMPLERS
from studies.spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a study has learned from an earlier one.

    Attributes:
        study: the earlier study.
        trials: those of its trials that fit.
        weight: how much one of them counts in the end beside a trial of this study, 0 to 1.
        of_choices: whether this study compares choices.
    """

    study: str
    trials: int
    weight: float | None
    of_choices: bool = True

    def __str__(self) -> str:
        """Return it as a sentence of the report."""
        weight = (
            "the sampler does not lean to it"
            if self.weight is None
            else f"its agreement with this study: weight {self.weight:.2f}"
        )
        come = "the second trial of each choice that it has"
        if not self.of_choices:
            come = "a first trial"
        return f"Learned from {self.study} ({counted(self.trials, 'trial')}): {come}; {weight}."


def learned_from(
    spec: StudySpec, search: SearchSettings, attribute: Any, trials: Sequence[FrozenTrial]
) -> tuple[Learned, ...]:
    """Return what the study with ``trials`` has learned, from its attribute ``learned``."""
    studies, space = from_attribute(attribute), spec.space
    leans = _leans(search)
    found = guides(studies, space, deciding(space, spec.scientific)) if leans else []
    direction = StudyDirection[spec.direction.upper()]
    trusted = weights(found, trials, direction, len(spec.defaults)) if leans else []
    return tuple(
        Learned(
            study=study.study,
            trials=len(study.trials),
            weight=trusted[place] if leans else None,
            of_choices=spec.compares,
        )
        for place, study in enumerate(studies)
    )


def learning_notes(
    search: SearchSettings, studies: Sequence[EarlierStudy], *, compares: bool
) -> list[str]:
    """Return what there is to know about the earlier ``studies`` before the search."""
    best = "its best of each choice is the choice's second trial"
    if not compares:
        best = "its best configuration is one of the first trials"
    found = []
    for study in studies:
        left = f" ({study.left} do not fit this study's space)" if study.left else ""
        found.append(
            f"{OPTION}: {counted(len(study.trials), 'trial')} of {study.study}{left}; {best}; none"
            " of its trials is counted"
        )
    if studies and not _leans(search):
        why = (
            "with several objectives the sampler does not lean"
            if search.objectives
            else f"{search.sampler} does not lean"
        )
        come = "the second trials come" if compares else "a first trial comes"
        found.append(f"{OPTION}: {why} to earlier studies, so only {come} of them")
    return found


def _leans(search: SearchSettings) -> bool:
    kind = SAMPLERS[search.sampler]
    return (kind.learns_imported or kind.screens) and not search.objectives
