"""A study in the dashboard's JSON, completed from the study's own records."""

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from mnist_core.evaluation import validation_summary
from objectives.mistake_images import MistakeImages
from studies.analysis.stored_study import Stored
from studies.core.attributes import ATTEMPT, CONFIRM, FAILURE, SECONDS, SEED
from studies.core.trials import TrialRecord
from studies.dashboard import pictures
from studies.dashboard.figures import figures
from studies.dashboard.notes import TrialNotes, confirm_note, is_number, readable, study_note
from studies.planning.layout import models_folder
from studies.storage.open import Storage, load_study

Json = dict[str, Any]
"""An object of the dashboard's answers, see ``optuna_dashboard/_serializer.py``."""

_KINDS = ("curve", "confusion", "model", "mistakes", "roc")
_NAME = re.compile(r"([0-9a-f]+)-([01])-([0-9a-f]+)")
"""Name of a file of ours, unlike a UUID: kind, whether it is the confirmation's, trial."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a trial; ``make`` returns its content, when somebody asks for it."""

    name: str
    mimetype: str
    make: Callable[[], bytes]


class Completion:
    """What is added to a study, its search and its confirmation, at one moment."""

    def __init__(self, stored: Stored, storage: Storage, images: MistakeImages) -> None:
        self._stored, self._storage, self._images = stored, storage, images
        self._name = stored.plan.name
        self._notes = {phase: TrialNotes(stored, confirm=phase) for phase in (False, True)}

    def complete(self, detail: Json, trial_json: Callable[[int], Json | None]) -> None:
        """Add notes, files, readable attributes and figures to the JSON of a study."""
        if detail["name"] not in (self._name, f"{self._name}{CONFIRM}"):
            return  # another study in the same storage
        confirm = detail["name"] != self._name
        # Studies of older versions have not kept the names.
        detail.setdefault("objective_names", list(self._stored.plan.goals.names))
        records = {record.number: record for record in self._records(confirm)}
        # Optuna's best trial is the luckiest single training: in a finished study the winner's
        # trials take its place.
        best = [trial_json(number) for number in self._winners(confirm)]
        # If the dashboard does not have the winner's trials yet, Optuna's best one stays.
        if best and None not in best:
            detail["best_trials"] = copy.deepcopy(best)
        for trial in [*detail["trials"], *detail["best_trials"]]:
            record = records.get(trial["number"])
            if record is not None:  # else it started after the study was read
                self._complete_trial(trial, record, confirm)
        note = confirm_note if confirm else study_note
        _add_note(detail, lambda: note(self._stored))
        detail["union_user_attrs"] = self._columns(confirm)
        detail["user_attrs"] = _rows(readable(self._study(confirm).user_attrs))
        if not confirm:
            detail["plotly_graph_objects"] += [
                {"id": name, "graph_object": json.dumps(figure)}
                for name, figure in figures(self._stored).items()
            ]

    def file(self, name: str) -> File | None:
        """Return the file of that name; None: it is not ours."""
        parsed = _NAME.fullmatch(name)
        if parsed is None:
            return None
        confirm, number = parsed[2] == "1", int(parsed[3], 16)
        records = self._records(confirm)
        if number >= len(records):
            return None
        return self._files(records[number], confirm).get(name)

    def _winners(self, confirm: bool) -> list[int]:
        """Return the winning configuration's trials; none before the study is finished."""
        result = self._stored.result
        if result is None or result.best_row is None or self._stored.phase != "finished":
            return []
        if result.several:  # no one best: a front
            return []
        if confirm:
            return [record.number for record in result.confirm[result.best_row.label]]
        candidate = result.best_row.candidate
        found = candidate.search_trial if candidate is not None else None
        return [] if found is None else [found]

    def _complete_trial(self, trial: Json, record: TrialRecord, confirm: bool) -> None:
        _add_note(trial, lambda: self._notes[confirm].note(record))
        trial["user_attrs"] = _rows(_attributes(record))
        trial["artifacts"] += [
            {"artifact_id": key, "filename": file.name, "mimetype": file.mimetype, "encoding": None}
            for key, file in self._files(record, confirm).items()
        ]

    def _files(self, record: TrialRecord, confirm: bool) -> dict[str, File]:
        number = record.number
        files: dict[str, File] = {}

        def png(kind: str, make: Callable[[], bytes]) -> None:
            files[kind] = File(name=f"{kind}_{number}.png", mimetype="image/png", make=make)

        if record.curve:
            others = self._records(confirm)
            png("curve", lambda: pictures.curve(self._stored, record, others))
        if record.attributes.get(pictures.CONFUSION):
            png("confusion", lambda: pictures.confusion(self._stored, record))
        kept = validation_summary.of_attributes(record.attributes)
        if kept is not None:
            png("mistakes", lambda: pictures.mistakes(self._stored, record, kept, self._images))
            png("roc", lambda: pictures.validation_curves(record, kept))
        model = models_folder(self._stored.plan.folder) / f"{number}.safetensors"
        if confirm and model.is_file() and not self._stored.foreign_models:
            files["model"] = File(
                name=f"{self._name}_confirm_{number}.safetensors",
                mimetype="application/octet-stream",
                make=model.read_bytes,
            )
        return {f"{_KINDS.index(k):x}-{confirm:d}-{number:x}": file for k, file in files.items()}

    def _columns(self, confirm: bool) -> list[Json]:
        columns: dict[str, bool] = {}
        for record in self._records(confirm):
            for name, text in _attributes(record).items():
                columns[name] = columns.get(name, True) and is_number(text)
        return [{"key": name, "sortable": numbers} for name, numbers in columns.items()]

    def _records(self, confirm: bool) -> list[TrialRecord]:
        return self._stored.confirm if confirm else self._stored.search

    def _study(self, confirm: bool) -> optuna.Study:
        name = f"{self._name}{CONFIRM}" if confirm else self._name
        return load_study(name, self._storage)


def _add_note(thing: Json, write: Callable[[], str]) -> None:
    """Give a trial or study a note, unless somebody has written one."""
    if not thing["note"]["version"]:
        thing["note"] = {"version": 0, "body": write()}


def _attributes(record: TrialRecord) -> dict[str, str]:
    kept: dict[str, Any] = {**record.metrics, SECONDS: record.seconds, SEED: record.seed}
    if record.attempt:
        kept[ATTEMPT] = record.attempt
    if record.failure is not None:
        kept[FAILURE] = record.failure.text
    if kept[SECONDS] is None:
        del kept[SECONDS]
    return readable({**kept, **record.attributes})


def _rows(attributes: Mapping[str, str]) -> list[Json]:
    return [{"key": name, "value": text} for name, text in attributes.items()]
