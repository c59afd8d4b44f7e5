"""Which study, and where it is; the one way to open it as it stands."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.core.attributes import CONFIRM
from studies.storage.errors import NoStudies
from studies.storage.url import storage_file

if TYPE_CHECKING:  # Optuna takes a second to import, and a plan that is only shown needs none
    import optuna

    from studies.storage.open import Storage


@dataclass(frozen=True)
class StudyLocation:
    """One study's place."""

    name: str  # of the study in its storage
    folder: Path  # of its files
    url: str  # of its storage

    @property
    def confirm(self) -> str:
        """The name of the study's confirmation in its storage."""
        return f"{self.name}{CONFIRM}"

    @contextmanager
    def opened(
        self, storage: "Storage | None" = None, *, required: bool = False
    ) -> Iterator["OpenedStudies"]:
        """Open the storage; it holds no studies where there is no file or database.

        Args:
            storage: the storage, if it is open already; it is left open.
            required: raise an error where there is no file or database.

        Raises:
            UserError: if the storage cannot be used, or what it holds cannot be read.
        """
        from studies.storage.open import (
            close_storage,
            one_line_errors,
            one_line_garbage,
            open_storage,
        )

        found = storage
        if found is None and (required or _may_exist(self.url)):
            try:
                found = open_storage(self.url, create=False)
            except NoStudies:
                if required:
                    raise
        if found is None:
            yield OpenedStudies(self, None)
            return
        try:
            with one_line_errors(self.url), one_line_garbage(self.url):
                yield OpenedStudies(self, found)
        finally:
            if storage is None:
                close_storage(found)


class OpenedStudies:
    """The studies of one storage.

    Args:
        location: of the study that is looked for.
        storage: of ``location.url``, open; None: there is none.
    """

    def __init__(self, location: StudyLocation, storage: "Storage | None") -> None:
        import optuna

        self.location = location
        self.storage = storage
        self.names = set() if storage is None else set(optuna.get_all_study_names(storage))

    @property
    def search(self) -> "optuna.Study | None":
        """The study's search; None: there is none."""
        return self.load(self.location.name)

    @property
    def confirm(self) -> "optuna.Study | None":
        """The study's confirmation; None: it has not started."""
        return self.load(self.location.confirm)

    def attributes(self, name: str) -> Mapping[str, Any] | None:
        """Return the user attributes of study ``name``; None: there is no such study."""
        if self.storage is None or name not in self.names:
            return None
        return self.storage.get_study_user_attrs(self.storage.get_study_id_from_name(name))

    def of(self, name: str, folder: Path) -> "OpenedStudies":
        """Return the same studies, with study ``name`` as the one that is looked for."""
        other = copy.copy(self)
        other.location = replace(self.location, name=name, folder=folder)
        return other

    def load(self, name: str) -> "optuna.Study | None":
        """Return study ``name``; None: there is none."""
        from studies.storage.open import load_study

        if self.storage is None or name not in self.names:
            return None
        return load_study(name, self.storage)


def _may_exist(url: str) -> bool:
    file = storage_file(url)
    return file is None or file.exists()
