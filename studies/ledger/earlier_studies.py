"""Keeps with a new study what it learns from earlier ones; a started study reads no more."""

from collections.abc import Iterable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.core.attributes import CARRIED, IDENTITY, LEARNED
from studies.core.redaction import masked
from studies.planning.plan import Plan
from studies.search.earlier import EarlierStudy, from_attribute, to_attribute
from studies.search.learning import read_earlier
from studies.storage.location import OpenedStudies
from studies.storage.open import Storage


def read_for(plan: Plan, storage: Storage) -> list[EarlierStudy]:
    """Return the earlier studies that ``plan``'s study learns from if it is new; else nothing.

    Raises:
        ConfigError: see ``read_earlier``.
    """
    # Read before the study is made, so that a wrong name leaves nothing behind.
    study = OpenedStudies(plan.location, storage).search
    if study is not None and not _may_learn(study):
        return []
    identity = "" if study is None else str(study.user_attrs.get(IDENTITY, ""))
    return read_earlier(plan, storage, identity)


def keep(
    study: optuna.Study, plan: Plan, read: Sequence[EarlierStudy], *, joined: bool
) -> list[EarlierStudy]:
    """Keep what was ``read`` with a new study, and return what the study learns from.

    With ``joined`` it is also kept that nothing was read, so that all supervisors do the same.
    """
    if (read or joined) and _may_learn(study):
        study.set_user_attr(LEARNED, to_attribute(_asked(plan), read))
    return from_attribute(study.user_attrs.get(LEARNED))


def ignored(study: optuna.Study, plan: Plan) -> list[str]:
    """Return a line if other earlier studies are asked for than ``study`` has read."""
    asked = _asked(plan)
    had = (study.user_attrs.get(LEARNED) or {}).get("asked", [])
    if not asked or asked == had:
        return []
    before = f"learned from {', '.join(had)}" if had else "learned from no other"
    return [
        f"--learn-from {', '.join(asked)}: ignored, as this study {before} when it began; to"
        " learn from other studies start fresh (--fresh)"
    ]


def _asked(plan: Plan) -> list[str]:
    return [masked(one) for one in plan.settings.search.learn_from]


def _may_learn(study: optuna.Study) -> bool:
    return LEARNED not in study.user_attrs and _is_new(study.get_trials(deepcopy=False))


def _is_new(trials: Iterable[FrozenTrial]) -> bool:
    """Return whether no trial has started, but for those that a fork took over."""
    return all(t.state is TrialState.WAITING or CARRIED in t.user_attrs for t in trials)
