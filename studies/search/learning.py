"""Reads the earlier studies that a new one learns from: ``--learn-from STUDY``.

They are read once, before the study's first trial, and what was read is kept with the study. So it
repeats itself even if an earlier study has grown since, or is gone.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mnist_core.errors import ConfigError, UserError, unknown_name
from search_spaces.space import Float, Space, SpaceError
from studies.core.attributes import CONFIRM, IDENTITY, POPULATION, RECORD
from studies.core.redaction import masked
from studies.planning import lookup
from studies.planning.layout import results_folder
from studies.planning.plan import Plan
from studies.search.earlier import EarlierStudy, EarlierTrial
from studies.search.enqueued import params_of, point_of
from studies.search.failures import is_feasible
from studies.search.scores import seen_value
from studies.storage.location import OpenedStudies, StudyLocation
from studies.storage.open import Storage

OPTION = "--learn-from"
ALL = "all"
"""Asks for all studies in the results folder that compare the same parameter, or that only tune; a
study that only tunes learns from all that share a part of its space."""
MOST = 2_000
"""Trials of an earlier study that are kept at most: the latest, and the best of each choice."""


class _Refused(UserError):
    """A study that tells nothing of the new one."""


@dataclass(frozen=True)
class EarlierReader:
    """Reads the studies that ``search.learn_from`` names.

    Attributes:
        plan: of the new study.
        storage: of the new study, open; it may hold the earlier ones, too.
        identity: of the new study; "": it has none yet.
    """

    plan: Plan
    storage: Storage
    identity: str = ""

    def read(self) -> list[EarlierStudy]:
        """Return the studies, each once, in the order of the setting.

        Raises:
            ConfigError: if a named study cannot be found or read, or tells nothing of the new one.
        """
        asked = self.plan.settings.search.learn_from
        if asked and self.plan.settings.population:
            raise ConfigError(f"{OPTION}: a population has no turns; leave it out")
        for text in asked:
            if masked(text) != text:
                raise ConfigError(
                    f"{OPTION} {masked(text)}: holds a password, which the study would keep; name a"
                    " study of this storage, a folder, or give the password by ~/.pgpass"
                )
        found: dict[tuple[str, str], EarlierStudy] = {}
        for text in asked:
            for study in self._all() if text == ALL else [self._named(text)]:
                found.setdefault((study.study, study.identity), study)
        return list(found.values())

    def _all(self) -> list[EarlierStudy]:
        """Return all studies in the results folder that tell something of the new one."""
        folder = results_folder(self.plan.settings.results.folder)
        found = []
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            try:
                found.append(self._at(lookup.find(str(path)).location))
            except UserError:  # not a study, or of another question
                continue
        return found

    def _named(self, text: str) -> EarlierStudy:
        """Return the study that ``text`` names; ConfigError: if it cannot be used."""
        try:
            return self._at(self._address(text) if "://" in text else self._location(text))
        except UserError as error:
            raise ConfigError(f"{OPTION} {masked(text)}: {error}") from None

    def _location(self, text: str) -> StudyLocation:
        plan = self.plan
        names = OpenedStudies(plan.location, self.storage).names
        if text in names and text != plan.name and not text.endswith(CONFIRM):
            return StudyLocation(text, plan.folder.parent / text, plan.storage_url)
        folders = {"results.folder": plan.settings.results.folder}
        return lookup.find(text, sets=folders).location

    def _address(self, text: str) -> StudyLocation:
        """Return the study in a database: ``URL#NAME``, or ``URL`` if there is only one."""
        url, _, name = text.partition("#")
        location = StudyLocation(name, self.plan.folder, url)
        with location.opened(self._storage_of(url), required=True) as studies:
            names = sorted(one for one in studies.names if not one.endswith(CONFIRM))
        if not name and len(names) == 1:
            return StudyLocation(names[0], location.folder, url)
        if name not in names:
            what = unknown_name("study", name, names) if name else "several studies; add #NAME"
            raise _Refused(what if name or names else "holds no studies")
        return location

    def _storage_of(self, url: str) -> Storage | None:
        return self.storage if url == self.plan.storage_url else None

    def _at(self, location: StudyLocation) -> EarlierStudy:
        plan = self.plan
        with location.opened(self._storage_of(location.url)) as studies:
            search = studies.search
            if search is None:
                raise _Refused("it has not been run yet; run it first")
            attributes = search.user_attrs
            identity = str(attributes.get(IDENTITY, ""))
            same_place = (location.name, location.url) == (plan.name, plan.storage_url)
            if same_place or (identity and identity == self.identity):
                raise _Refused("is the study itself; name another one")
            self._check_question(attributes)
            confirmed = _confirmed(studies.confirm, plan.goals.sign)
            trials = search.get_trials(deepcopy=False)
        name = location.folder.name if "." in location.folder.name else location.name
        return self._reduced(name, identity, trials, confirmed)

    def _check_question(self, attributes: Mapping[str, Any]) -> None:
        """Raise ``_Refused`` if a study with ``attributes`` measures or compares something else."""
        plan, spec = self.plan, (attributes.get(RECORD) or {}).get("spec")
        if spec is None:
            raise _Refused("was made by another program, so its parameters are not known")
        if POPULATION in attributes:
            raise _Refused("its trials are members of a population, which change midway")
        for name in ("metric", "direction"):
            ours, theirs = getattr(plan.spec, name), spec[name]
            if ours != theirs:
                raise _Refused(f"its {name} is {theirs}, but that of {plan.name} is {ours}")
        theirs, ours = spec["scientific"], plan.spec.scientific
        # A study that only tunes learns from every study of its space, and teaches every one.
        if theirs and ours and theirs != ours:
            raise _Refused(f"it compares {theirs}, but {plan.name} {ours}")

    def _reduced(
        self,
        name: str,
        identity: str,
        trials: Sequence[FrozenTrial],
        confirmed: Mapping[str, float],
    ) -> EarlierStudy:
        """Return what is needed of an earlier study's trials."""
        plan = self.plan
        space, scientific, left = plan.spec.space, plan.spec.scientific, 0
        found: list[EarlierTrial] = []
        for trial in trials:
            value = seen_value(trial, int(plan.goals.sign))
            if value is None:
                continue
            params = _fitting(space, scientific, trial.params)
            if params is None:
                left += 1
                continue
            full = trial.state is TrialState.COMPLETE and is_feasible(trial)
            found.append(
                EarlierTrial(
                    number=trial.number,
                    params=params,
                    value=None if trial.state is TrialState.FAIL else value,
                    full=full,
                    confirmed=confirmed.get(point_of(trial.params)) if full else None,
                )
            )
        choices = {trial.params.get(scientific) for trial in trials if plan.spec.compares} - {None}
        if choices and not choices & set(plan.spec.choices):
            raise _Refused(f"none of its choices of {scientific} is one of {plan.name}")
        if not any(trial.full for trial in found):
            of_all = "of its trials that ran their full budget fits this study's space"
            raise _Refused(f"none {of_all}" if left else "it has no complete trial yet")
        study = EarlierStudy(study=name, identity=identity, left=left, trials=found)
        if len(found) <= MOST:
            return study
        best = {trial.number for trial in study.best(scientific).values()}
        late = found[-1 - MOST].number
        kept = [trial for trial in found if trial.number > late or trial.number in best]
        return EarlierStudy(study=name, identity=identity, left=left, trials=kept)


def _fitting(space: Space, scientific: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the part of ``params`` that ``space`` has, None if it does not fit."""
    found: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if name in params:
            value = params[name]
            if isinstance(parameter, Float) and type(value) in (int, float):
                value = parameter.snapped(float(value))
            found[name] = value
    try:
        space.check_part(found)
    except SpaceError:
        return None
    return found if found and (not scientific or scientific in found) else None


def _confirmed(confirm: optuna.Study | None, sign: float) -> dict[str, float]:
    """Return the mean over the confirm seeds by configuration, without those that failed."""
    values: dict[str, list[float | None]] = defaultdict(list)
    for trial in confirm.get_trials(deepcopy=False) if confirm is not None else []:
        if trial.state.is_finished():
            complete = trial.state is TrialState.COMPLETE
            values[point_of(params_of(trial))].append(sign * trial.values[0] if complete else None)
    return {
        point: fmean(number for number in of_point if number is not None)
        for point, of_point in values.items()
        if None not in of_point
    }
