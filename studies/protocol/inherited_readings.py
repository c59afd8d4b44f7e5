"""The record of the test set that a new study inherits from those that it comes of.

``--fresh`` moves a study aside: its folder, or its name in a storage that lies elsewhere. The new
study inherits the readings of *every* study of its name that was moved aside, each once. So the
record does not depend on how far a ``--fresh`` came that was killed: the next start finds the same
studies, and writes the same record.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection

from mnist_core.checkpoints import study_readings
from mnist_core.errors import UserError
from studies.analysis.holdout_record import HoldoutRecord, command_readings, read_record
from studies.analysis.logged_reading import reading_in_log
from studies.core.attributes import CONFIRM, FINGERPRINT, TEST
from studies.core.event_log import FILE
from studies.planning.lookup import DATABASE
from studies.planning.plan import Plan
from studies.storage.contents import Content
from studies.storage.open import (
    Damaged,
    Storage,
    close_storage,
    journal_url,
    one_line_errors,
    one_line_garbage,
    open_storage,
    shown,
    sqlite_url,
    storage_file,
)
from studies.storage.url import NoStudies, journal_path

_STAMP = re.compile(r"\.\d{8}-\d{6}")
"""What is added to the name of a study that is moved aside."""


@dataclass
class Inheritance:
    """What a study inherits.

    Attributes:
        record: of the test set.
        notes: a line about each study that may have read it: its database is damaged or gone.
    """

    record: HoldoutRecord = field(default_factory=HoldoutRecord)
    notes: list[str] = field(default_factory=list)

    def add(self, record: HoldoutRecord) -> None:
        """Add the readings of one more study."""
        self.record = self.record.joined(record)

    def add_commands(self, plan: Plan, folder: Path, study: str) -> None:
        """Add the readings that single commands recorded in the ``folder`` of ``study``.

        Raises:
            UserError: if their file cannot be read.
        """
        commands = HoldoutRecord(outside=study_readings.read(folder))
        self.add(commands.inherited(study, into=plan.train.data.name))

    def add_unknown(self, study: str, why: object) -> None:
        """Add that ``study`` may have read the test set."""
        self.add(HoldoutRecord.unknown(study))
        self.notes.append(
            f"whether {study} has read the test set is not known ({why}); that is on record now"
        )


@dataclass(frozen=True)
class Missing:
    """What is to be written before a study is made.

    Attributes:
        content: the confirmation that holds the record.
        renamed: studies that get other names in the same step.
        notes: lines to say.
    """

    content: Content
    renamed: Mapping[str, str]
    notes: list[str]


def inherited(plan: Plan, *, stamp: str = "") -> Inheritance:
    """Return what a new study of ``plan`` inherits.

    Args:
        plan: of the new study.
        stamp: what is about to be added to the name of the study in its place; "": that stays, and
            only those that were moved aside before are asked.

    Raises:
        UserError: one of them cannot be read, for another reason than damage.
    """
    found, url = Inheritance(), plan.storage_url
    if lies_elsewhere(plan):
        with opened(url) as storage:
            for name in _moved_studies(plan, names_in(storage)):
                found.add(_record(plan, url, storage, name, name))
            if stamp:
                found.add(_record(plan, url, storage, plan.name, plan.name + stamp))
    for folder in _moved_folders(plan):
        _add_folder(found, plan, folder, folder.name)
    if stamp:
        _add_folder(found, plan, plan.folder, plan.folder.name + stamp)
    return found


def missing_record(plan: Plan, storage: Storage) -> Missing | None:
    """Return what is to be written before the study of ``plan`` is made; None: nothing.

    A ``--fresh`` that was killed has left a study aside and nothing in its place, or the record
    alone, perhaps for settings that have changed since.

    Args:
        plan: of the study.
        storage: of ``plan.storage_url``, open.

    Raises:
        UserError: a study that was moved aside cannot be read.
    """
    names, confirm = names_in(storage), f"{plan.name}{CONFIRM}"
    if plan.name in names:
        return None
    found = inherited(plan)
    renamed: dict[str, str] = {}
    if confirm in names:
        identity = storage.get_study_id_from_name(confirm)
        attributes = storage.get_study_user_attrs(identity)
        if FINGERPRINT in attributes:  # a whole confirmation, whose search was deleted
            return None
        there = read_record(attributes, plan.storage_url)
        found.add(there.inherited("", into=plan.train.data.name))
        wanted = record_content(plan, found.record)
        if there == found.record and wanted.directions == storage.get_study_directions(identity):
            return None
        renamed = {confirm: f"{plan.name}{free_stamp(plan, names)}{CONFIRM}"}
    elif found.record.empty:
        return None
    return Missing(record_content(plan, found.record), renamed, found.notes)


def was_moved(plan: Plan, names: Collection[str]) -> bool:
    """Return whether a study of ``plan``'s name was moved aside; ``names``: in its storage."""
    return bool(_moved_folders(plan) or (lies_elsewhere(plan) and _moved_studies(plan, names)))


def record_content(plan: Plan, record: HoldoutRecord) -> Content:
    """Return a confirmation that holds ``record`` and nothing else yet."""
    return Content(
        name=f"{plan.name}{CONFIRM}",
        directions=[StudyDirection[one.upper()] for one in plan.goals.directions],
        user_attrs={TEST: record.to_attribute()},
        system_attrs={},
        trials=[],
    )


def record_of(
    plan: Plan,
    url: str,
    name: str,
    search: Mapping[str, Any] | None,
    confirm: Mapping[str, Any] | None,
) -> HoldoutRecord:
    """Return the readings that ``plan``'s study inherits from the study ``name``.

    Args:
        plan: of the new study.
        url: of the storage that holds the other one.
        name: that the other study's own readings are recorded under.
        search: user attributes of its search; None: there is none.
        confirm: of its confirmation.

    Raises:
        UserError: its record has another shape.
    """
    if confirm is None:
        return HoldoutRecord()
    data = _data_set(confirm) or _data_set(search or {})
    outside = command_readings(search or {})
    return read_record(confirm, url, outside).inherited(name, data=data, into=plan.train.data.name)


def lies_elsewhere(plan: Plan) -> bool:
    """Return whether the study's database stays where it is when its folder is moved."""
    file = storage_file(plan.storage_url)
    return file is None or not file.absolute().is_relative_to(plan.folder.absolute())


def free_stamp(plan: Plan, names: Collection[str] = ()) -> str:
    """Return what is added to the study's name when it is moved aside: ``.<time>``.

    Args:
        plan: of the study.
        names: of the studies in its storage.
    """
    now = datetime.now()
    while True:
        stamp = f".{now:%Y%m%d-%H%M%S}"
        moved = {plan.name + stamp, f"{plan.name}{stamp}{CONFIRM}"}
        if not os.path.lexists(aside_folder(plan, stamp)) and not moved.intersection(names):
            return stamp
        now += timedelta(seconds=1)


def aside_folder(plan: Plan, stamp: str) -> Path:
    """Return where the study's folder is moved to."""
    return plan.folder.with_name(plan.folder.name + stamp)


def url_in(plan: Plan, folder: Path) -> str:
    """Return the URL of the study's storage where its folder is ``folder``."""
    file = storage_file(plan.storage_url)
    assert file is not None
    path = folder / file.absolute().relative_to(plan.folder.absolute())
    return sqlite_url(path) if journal_path(plan.storage_url) is None else journal_url(path)


def names_in(storage: Storage | None) -> set[str]:
    """Return the names of all studies of ``storage``."""
    return set() if storage is None else set(optuna.get_all_study_names(storage))


@contextmanager
def opened(url: str) -> Iterator[Storage | None]:
    """Open the storage at ``url``; None where there is no file, or no study in it.

    Raises:
        UserError: it cannot be used.
    """
    file = storage_file(url)
    if file is not None and not file.exists():
        yield None
        return
    try:
        storage = open_storage(url, create=False)
    except NoStudies:
        yield None
        return
    try:
        with one_line_errors(url), one_line_garbage(url):
            yield storage
    finally:
        close_storage(storage)


def _add_folder(found: Inheritance, plan: Plan, folder: Path, name: str) -> None:
    """Add the readings of the study whose files are in ``folder``, whatever storage it has there.

    Args:
        found: what they are added to.
        plan: of the new study.
        folder: that of the study which is moved aside, now or before.
        name: that its readings are recorded under.
    """
    found.add_commands(plan, folder, name)
    urls = [sqlite_url(folder / DATABASE)]
    if not lies_elsewhere(plan) and url_in(plan, folder) not in urls:
        urls.append(url_in(plan, folder))
    known = lies_elsewhere(plan)
    for url in urls:
        try:
            with opened(url) as storage:
                known |= bool(names_in(storage) & {plan.name, f"{plan.name}{CONFIRM}"})
                found.add(_record(plan, url, storage, plan.name, name))
        except Damaged as error:
            known = True
            found.add_unknown(name, error)
    if not known and (folder / FILE).exists():
        where = ", ".join(map(shown, urls))
        _add_logged(found, plan, folder / FILE, name, f"there is no study in {where} any more")


def _add_logged(found: Inheritance, plan: Plan, log: Path, name: str, why: str) -> None:
    """Add the readings that the event log knows of, where the database is gone.

    A reading is recorded in the database a moment before it is logged, so a log that names none is
    sure only of a study that was not confirmed yet.
    """
    try:
        logged = reading_in_log(log)
    except OSError as error:
        found.add_unknown(name, f"{why}, and {log} cannot be read: {error.strerror or error}")
        return
    if not logged.record.empty:
        found.add(logged.record.inherited(name, data=logged.data, into=plan.train.data.name))
    elif logged.confirmed or not logged.data:
        found.add_unknown(name, why)


def _record(plan: Plan, url: str, storage: Storage | None, study: str, name: str) -> HoldoutRecord:
    """Return the readings of ``study`` in ``storage``, its own under ``name``."""
    names = names_in(storage)

    def attributes(of: str) -> dict[str, Any] | None:
        if storage is None or of not in names:
            return None
        return storage.get_study_user_attrs(storage.get_study_id_from_name(of))

    return record_of(plan, url, name, attributes(study), attributes(f"{study}{CONFIRM}"))


def _moved_folders(plan: Plan) -> list[Path]:
    beside = plan.folder.absolute().parent
    try:
        found = sorted(beside.iterdir()) if beside.is_dir() else []
    except OSError as error:
        raise UserError(f"cannot look into {beside}: {error.strerror}") from None
    return [one for one in found if _is_aside(one.name, plan.folder.name) and one.is_dir()]


def _moved_studies(plan: Plan, names: Collection[str]) -> list[str]:
    found = {name.removesuffix(CONFIRM) for name in names}
    return sorted(name for name in found if _is_aside(name, plan.name))


def _is_aside(name: str, study: str) -> bool:
    """Return whether ``name`` is that of ``study`` moved aside."""
    return name.startswith(study) and _STAMP.fullmatch(name.removeprefix(study)) is not None


def _data_set(attributes: Mapping[str, Any]) -> str:
    """Return the name of the data set that a study's fingerprint names; "": it names none."""
    found: Any = attributes.get(FINGERPRINT)
    for key in ("values", "train", "data", "name"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""
