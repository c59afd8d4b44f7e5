"""Keeps with a new study what it learns from earlier ones; a started study reads no more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import CARRIED, IDENTITY, LEARNED
from studies.core.redaction import masked
from studies.planning.plan import Plan
from studies.search.earlier import EarlierStudy, from_attribute, to_attribute
from studies.search.learning import EarlierReader
from studies.storage.location import OpenedStudies
from studies.storage.open import Storage


@dataclass(frozen=True)
class EarlierStudies:
    """The earlier studies that the study of ``plan`` learns from; it is opened in ``storage``."""

    plan: Plan
    storage: Storage

    def read(self) -> list[EarlierStudy]:
        """Return the earlier studies if the study is new; else nothing.

        Raises:
            ConfigError: see ``EarlierReader``.
        """
        # Read before the study is made, so that a wrong name leaves nothing behind.
        study = OpenedStudies(self.plan.location, self.storage).search
        if study is not None and not _may_learn(study):
            return []
        identity = "" if study is None else str(study.user_attrs.get(IDENTITY, ""))
        return EarlierReader(self.plan, self.storage, identity).read()

    def keep(
        self, study: optuna.Study, read: Sequence[EarlierStudy], *, joined: bool
    ) -> list[EarlierStudy]:
        """Keep what was ``read`` with a new study, and return what the study learns from.

        With ``joined`` it is also kept that nothing was read, so that all supervisors do the same.
        """
        if (read or joined) and _may_learn(study):
            study.set_user_attr(LEARNED, to_attribute(self._asked, read))
        return from_attribute(study.user_attrs.get(LEARNED))

    def ignored(self, study: optuna.Study) -> list[str]:
        """Return a line if other earlier studies are asked for than ``study`` has read."""
        had = (study.user_attrs.get(LEARNED) or {}).get("asked", [])
        if not self._asked or self._asked == had:
            return []
        before = f"learned from {', '.join(had)}" if had else "learned from no other"
        return [
            f"--learn-from {', '.join(self._asked)}: ignored, as this study {before} when it began;"
            " to learn from other studies start fresh (--fresh)"
        ]

    @property
    def _asked(self) -> list[str]:
        return [masked(one) for one in self.plan.settings.search.learn_from]


def _may_learn(study: optuna.Study) -> bool:
    return LEARNED not in study.user_attrs and _is_new(study.get_trials(deepcopy=False))


def _is_new(trials: Iterable[FrozenTrial]) -> bool:
    """Return whether no trial has started, but for those that a fork took over."""
    return all(t.state is TrialState.WAITING or CARRIED in t.user_attrs for t in trials)
