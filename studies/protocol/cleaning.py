"""What can be removed of studies: files that no command needs any more.

Needed are: the database, the event log, what trackers have kept, reports and exported
configurations; states of trials that have not ended; models of the winner, of all that may be as
good, and of all without a test value, as the next run reads the test set with them. Nothing of a
running study is removed.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_core.errors import UserError
from studies.analysis.found_studies import size_of
from studies.analysis.result import StudyResult
from studies.analysis.stored_study import Stored, exists
from studies.core.trials import TrialRecord
from studies.planning.layout import models_folder, states_folder
from studies.protocol.moved_aside import lies_elsewhere, moved_folders
from studies.protocol.renamed import former
from studies.storage import leases
from studies.storage.belonging import MODELS
from studies.storage.location import StudyLocation
from studies.storage.process_identity import process_start

STATES, KEPT, DRAFTS, LOGS, ASIDE = "states", "models", "drafts", "logs", "aside"
KINDS = {
    STATES: "saved states of trials that have ended",
    KEPT: "models of configurations that are worse than the best",
    DRAFTS: "half-written files of commands that were killed",
    LOGS: "logs of trackers",
    ASIDE: "studies that --fresh moved aside",
}
"""What can be removed, by the word that ``--only`` takes."""
ON_REQUEST = (ASIDE,)
"""Kinds that are removed only if they are named: they are results, not leftovers."""

_DRAFTS = (".saving-", ".renaming-", ".renamed-", ".archiving-")


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A file or folder that can be removed."""

    kind: str
    study: str
    path: Path
    size: int  # bytes


def leftovers(stored: Stored) -> Iterator[Leftover]:
    """Yield what can be removed of a study that no process runs."""
    plan = stored.plan
    found = [
        *((STATES, path) for path in _states(stored, population=plan.settings.population)),
        *((KEPT, path) for path in _models(stored)),
        *((DRAFTS, path) for path in _drafts(plan.folder)),
        *((LOGS, path) for path in sorted((plan.folder / "trackers").glob("*.log"))),
        *((ASIDE, path) for path in _aside(plan.location)),
    ]
    for kind, path in found:
        if not path.is_symlink():
            size = size_of(path) if path.is_dir() else path.stat().st_size
            yield Leftover(kind=kind, study=plan.name, path=path, size=size)


def remove(location: StudyLocation, found: list[Leftover]) -> int:
    """Remove what was ``found`` of the study at ``location``; return the bytes that are free now.

    Raises:
        UserError: if a process runs the study, or a file cannot be removed.
    """
    with location.opened(required=True) as studies:
        search = studies.search
        if search is None:
            raise UserError(f"there is no study {location.name!r} any more")
        leases.check_idle(search, "clean it")
        lease = leases.take(search)  # so no process starts it meanwhile
        try:
            return sum(map(_remove, found))
        finally:
            leases.release(search, lease)


def _remove(one: Leftover) -> int:
    try:
        if one.path.is_dir() and not one.path.is_symlink():
            # A kill leaves no half of a study or model under its name.
            hidden = one.path.with_name(f".saving-removed-{one.path.name}")
            one.path.rename(hidden)
            shutil.rmtree(hidden)
        else:
            one.path.unlink(missing_ok=True)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise UserError(f"{one.path}: cannot be removed: {error.strerror}") from None
    return one.size


def _states(stored: Stored, *, population: bool) -> Iterator[Path]:
    for phase, records in (("search", stored.search), ("confirm", stored.confirm)):
        ended = {record.number for record in records if record.state.finished}
        if population and phase == "search" and len(ended) < len(records):
            continue  # members continue each other's states
        for path in _entries(states_folder(stored.plan.folder, phase)):
            if path.suffix == ".safetensors" and _number(path.stem) in ended:
                yield path
    # Ray's members leave their states here while a search runs; the next run starts without.
    tune = stored.plan.folder / MODELS / "tune"
    if tune.is_dir():
        yield tune


def _models(stored: Stored) -> Iterator[Path]:
    result = stored.result
    if result is None or stored.phase != "finished" or result.several or stored.foreign_models:
        return
    keep = _kept_trials(result)
    kept = stored.plan.adapter.kept
    for record in result.confirmed:
        # The next run, or one with --read-test-again, tests what has no value yet.
        if record.number in keep or record.number not in result.test.values:
            continue
        path = kept(models_folder(stored.plan.folder), record.number)
        if path.exists():
            yield path


def _kept_trials(result: StudyResult) -> set[int]:
    """Return the confirm trials of the best configuration and all that may be as good."""
    choices = result.verdicts.choices
    labels = {result.best, *result.ties, *result.noisy}
    labels |= set(choices.comparison.possible) if choices else set()
    labels |= {row.label for row in result.rows if result.standing(row) == "the same"}
    records: list[TrialRecord] = []
    for label in labels:
        records.extend(result.confirm.get(label or "", ()))
    return {record.number for record in records}


def _drafts(folder: Path) -> Iterator[Path]:
    """Yield drafts in the study's folders, and beside it those of its own renames."""
    places = [folder, models_folder(folder)]
    places += [states_folder(folder, phase) for phase in ("search", "confirm")]
    for place in places:
        for path in _entries(place):
            if path.name.startswith(_DRAFTS) or (
                place == models_folder(folder) and _is_own_draft(path.name)
            ):
                yield path
    for beside in folder.parent.glob(".renaming-*"):
        was = former(beside)
        if was is not None and was.folder == folder.name:
            yield beside
    now = former(folder)
    if now is not None and (old := folder.with_name(f".renamed-{now.folder}")).is_dir():
        yield old


def _is_own_draft(name: str) -> bool:
    """Return whether ``name`` is ``.<trial>.<process>`` of a process that is gone."""
    parts = name.split(".")
    if len(parts) != 3 or parts[0] or not (parts[1].isdecimal() and parts[2].isdecimal()):
        return False
    return process_start(int(parts[2])) is None


def _aside(location: StudyLocation) -> Iterator[Path]:
    """Yield the folders of studies that were moved aside, if their readings are kept elsewhere."""
    # The study that followed has the record of the test set; without it the next one inherits.
    if lies_elsewhere(location) or not exists(location):
        return
    yield from moved_folders(location.folder)


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(Path(entry.path) for entry in os.scandir(folder))
    return []


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1
