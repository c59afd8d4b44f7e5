"""The record of the test set that a new study inherits from earlier studies.

A study that ``--fresh`` starts inherits the readings of *every* study of its name that was moved
aside, each once. So the record does not depend on where a ``--fresh`` was killed: the next start
finds the same studies, and writes the same record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optuna.study import StudyDirection

from mnist_core.checkpoints import study_readings
from studies.analysis.holdout_record import HoldoutRecord, command_readings, read_record
from studies.analysis.logged_reading import reading_in_log
from studies.core.attributes import CONFIRM, FINGERPRINT, TEST
from studies.core.event_log import FILE
from studies.core.goals import Goals
from studies.planning.lookup import DATABASE
from studies.protocol.moved_aside import (
    free_stamp,
    lies_elsewhere,
    moved_folders,
    moved_studies,
    renamed_folders,
    url_in,
)
from studies.storage.contents import Content
from studies.storage.location import OpenedStudies, StudyLocation
from studies.storage.open import Damaged, Storage, shown, sqlite_url


@dataclass
class Inheritance:
    """What a study inherits.

    Attributes:
        data: name of the study's data set.
        record: of the test set.
        notes: a line about each study that may have read it: its database is damaged or gone.
    """

    data: str
    record: HoldoutRecord = field(default_factory=HoldoutRecord)
    notes: list[str] = field(default_factory=list)

    def add(self, record: HoldoutRecord, study: str, *, data: str = "") -> None:
        """Add ``record`` of ``study``, which used the data set ``data``; "": not known."""
        self.record = self.record.joined(record.inherited(study, data=data, into=self.data))

    def add_study(
        self,
        name: str,
        url: str,
        search: Mapping[str, Any] | None,
        confirm: Mapping[str, Any] | None,
    ) -> None:
        """Add the readings of a study, its own under ``name``; ``url`` is named in errors.

        ``search`` and ``confirm`` are the user attributes of both phases; None: there is none.
        """
        if confirm is not None:
            data = _data_set(confirm) or _data_set(search or {})
            outside = command_readings(search or {})
            self.add(read_record(confirm, url, outside), name, data=data)

    def add_opened(self, studies: OpenedStudies, study: str, name: str) -> None:
        """Add the readings of ``study`` in an opened storage, its own under ``name``."""
        search, confirm = map(studies.attributes, (study, f"{study}{CONFIRM}"))
        self.add_study(name, studies.location.url, search, confirm)

    def add_commands(self, folder: Path, study: str) -> None:
        """Add the readings that single commands recorded in the ``folder`` of ``study``."""
        self.add(HoldoutRecord(outside=study_readings.read(folder)), study)

    def add_unknown(self, study: str, why: object) -> None:
        """Add that ``study`` may have read the test set."""
        self.record = self.record.joined(HoldoutRecord.unknown(study))
        self.notes.append(
            f"whether {study} has read the test set is not known ({why}); that is on record now"
        )

    def add_folder(self, location: StudyLocation, folder: Path, name: str) -> None:
        """Add the readings of the study in ``folder``, whatever storage it has there."""
        self.add_commands(folder, name)
        # Settings may have changed since: the study that was moved may have had its database here.
        known = lies_elsewhere(location)
        urls = [sqlite_url(folder / DATABASE)]
        if not known:
            urls = list(dict.fromkeys([*urls, url_in(location, folder)]))
        for url in urls:
            try:
                with StudyLocation(location.name, folder, url).opened() as studies:
                    known |= bool(studies.names & {location.name, location.confirm})
                    self.add_opened(studies, location.name, name)
            except Damaged as error:
                known = True
                self.add_unknown(name, error)
        if not known and (folder / FILE).exists():
            where = ", ".join(map(shown, urls))
            self.add_logged(folder / FILE, name, f"there is no study in {where} any more")

    def add_logged(self, log: Path, name: str, why: str) -> None:
        """Add the readings that the event log knows of; the database is gone."""
        try:
            logged = reading_in_log(log)
        except OSError as error:
            self.add_unknown(name, f"{why}, and {log} cannot be read: {error.strerror or error}")
            return
        # A reading is recorded in the database just before it is logged. So a log without one
        # proves that there was none only if the study was not confirmed yet.
        if not logged.record.empty:
            self.add(logged.record, name, data=logged.data)
        elif logged.confirmed or not logged.data:
            self.add_unknown(name, why)


@dataclass(frozen=True)
class Missing:
    """What is to be written before a study is made.

    Attributes:
        content: the confirmation that holds the record.
        renamed: studies that get other names in the same step.
        notes: lines to print.
    """

    content: Content
    renamed: Mapping[str, str]
    notes: list[str]


@dataclass(frozen=True)
class Heir:
    """A new study, which inherits the readings of earlier studies of its name.

    Attributes:
        location: where it is to be.
        data: name of its data set.
        goals: its objectives.
    """

    location: StudyLocation
    data: str
    goals: Goals

    def inherited(self, *, stamp: str = "") -> Inheritance:
        """Return what it inherits.

        Args:
            stamp: what is about to be added to the name of the study in its place; "": that study
                stays, and only those that were moved aside before count.

        Raises:
            UserError: if one of them cannot be read, for another reason than damage.
        """
        found, location = Inheritance(self.data), self.location
        renamed = renamed_folders(location.folder)
        if lies_elsewhere(location):
            with location.opened() as studies:
                for moved in moved_studies(location.name, studies.names):
                    found.add_opened(studies, moved, moved)
                for folder, name in renamed.items():
                    found.add_opened(studies, folder.name, name)
                if stamp:
                    found.add_opened(studies, location.name, location.name + stamp)
        for folder in moved_folders(location.folder):
            found.add_folder(location, folder, folder.name)
        for folder, name in renamed.items():
            found.add_folder(replace(location, name=folder.name), folder, name)
        if stamp:
            found.add_folder(location, location.folder, location.folder.name + stamp)
        return found

    def missing(self, storage: Storage) -> Missing | None:
        """Return what is to be written before the study is made; None: nothing."""
        # A ``--fresh`` that was killed has left a study aside and nothing in its place, or the
        # record alone, perhaps for settings that have changed since.
        location = self.location
        studies = OpenedStudies(location, storage)
        if location.name in studies.names:
            return None
        found, renamed = self.inherited(), {}
        attributes = studies.attributes(location.confirm)
        if attributes is not None:
            if FINGERPRINT in attributes:  # a whole confirmation, whose search was deleted
                return None
            there = read_record(attributes, location.url)
            found.add(there, "")
            study = storage.get_study_id_from_name(location.confirm)
            directions = storage.get_study_directions(study)
            if there == found.record and directions == directions_of(self.goals):
                return None
            stamp = free_stamp(location, studies.names)
            renamed = {location.confirm: f"{location.name}{stamp}{CONFIRM}"}
        elif found.record.empty:
            return None
        return Missing(self.confirmation(found.record), renamed, found.notes)

    def contents(self, found: Inheritance) -> list[Content]:
        """Return the confirmation that holds what was ``found``; [] if that is nothing."""
        return [] if found.record.empty else [self.confirmation(found.record)]

    def confirmation(self, record: HoldoutRecord) -> Content:
        """Return a confirmation that holds ``record`` and nothing else yet."""
        return Content(
            name=self.location.confirm,
            directions=directions_of(self.goals),
            user_attrs={TEST: record.to_attribute()},
            system_attrs={},
            trials=[],
        )


def directions_of(goals: Goals) -> list[StudyDirection]:
    """Return the directions of the objectives in Optuna's terms."""
    return [StudyDirection[one.upper()] for one in goals.directions]


def _data_set(attributes: Mapping[str, Any]) -> str:
    """Return the name of the data set in a study's fingerprint; "": it has none."""
    found: Any = attributes.get(FINGERPRINT)
    for key in ("values", "train", "data", "name"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""
