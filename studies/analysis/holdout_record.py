"""The record of the test set: when it was read, of which models, and what came out.

It is kept with the confirmation. A study that was forked from another one, or that replaced it,
inherits its readings, because what was learned from them went into it. Readings of another data set
are inherited apart: they count again if a later study returns to that data set.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mnist_core.checkpoints import study_readings
from mnist_core.checkpoints.study_readings import StudyReading
from mnist_core.console.plain_text import counted
from mnist_core.console.shell_words import program
from mnist_core.data.registry import share_images
from mnist_core.errors import UserError
from studies.core.attributes import FOLDERS, IDENTITY, TEST
from studies.storage.belonging import owner
from studies.storage.url import shown


class RecordError(UserError):
    """The record of the test set does not have the shape that this program writes."""


@dataclass(frozen=True, kw_only=True)
class HoldoutReading:
    """One time that the test set was read.

    Attributes:
        time: ISO 8601; "": not known.
        trials: the confirm trials whose models were evaluated; empty: not recorded.
        kept: whether it ended and its values were kept.
        study: the earlier study that read it; "": this study itself.
        data: name of the data set, of an inherited reading; "": that of this study.
        certain: False: it may have happened; the database that would tell is damaged or gone.
    """

    time: str
    trials: tuple[int, ...] = ()
    kept: bool = True
    study: str = ""
    data: str = ""
    certain: bool = True

    @classmethod
    def from_json(cls, value: Any) -> "HoldoutReading":
        """Return what ``to_json`` made."""
        return cls(
            time=_text(value["time"]),
            trials=tuple(int(number) for number in value["trials"]),
            kept=bool(value["kept"]),
            study=_text(value.get("study", "")),
            data=_text(value.get("data", "")),
            certain=bool(value.get("certain", True)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; usual values are left out."""
        return (
            {"time": self.time, "trials": list(self.trials), "kept": self.kept}
            | ({"study": self.study} if self.study else {})
            | ({"data": self.data} if self.data else {})
            | ({} if self.certain else {"certain": False})
        )


@dataclass(frozen=True, kw_only=True)
class HoldoutRecord:
    """Everything that the test set was read for.

    Attributes:
        values: test metrics by number of the confirm trial.
        readings: each time the study read it, the first one first.
        of_other_data: inherited readings of other data sets, kept for the studies that inherit.
        absent: whether the last run of the study was told that there is no test set.
        outside: each time a single command, as ``evaluate``, read it for a model of this study.
    """

    values: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    readings: tuple[HoldoutReading, ...] = ()
    of_other_data: tuple[HoldoutReading, ...] = ()
    absent: bool = False
    outside: tuple[StudyReading, ...] = ()

    @property
    def times(self) -> tuple[str, ...]:
        """When the test set was certainly read; its length is the count of readings."""
        own = [reading.time for reading in self.readings if reading.certain]
        return tuple(sorted([*own, *(one.time for one in self.outside)]) if self.outside else own)

    @property
    def uncertain(self) -> tuple[str, ...]:
        """Names of the earlier studies that may have read the test set."""
        return tuple(reading.study for reading in self.readings if not reading.certain)

    @property
    def empty(self) -> bool:
        """Whether there is nothing that another study could inherit."""
        return not (self.readings or self.of_other_data or self.outside)

    @property
    def seen(self) -> bool:
        """Whether a reading ended, so that its result may be known."""
        return any(reading.kept for reading in self.readings)

    @classmethod
    def unknown(cls, study: str) -> "HoldoutRecord":
        """Return the record of ``study``, which may have read the test set."""
        return cls(readings=(HoldoutReading(time="", kept=False, study=study, certain=False),))

    def inherited(self, study: str, *, data: str = "", into: str = "") -> "HoldoutRecord":
        """Return the record that a study starts with if it comes from ``study``: no values.

        Args:
            study: name of the study that this is the record of.
            data: name of its data set; "": not known, so it counts as that of the new study.
            into: name of the new study's data set.
        """
        outside = [
            HoldoutReading(
                time=one.time,
                trials=() if one.trial is None else (one.trial,),
                data="" if not into or share_images(one.data, into) else one.data,
            )
            for one in self.outside
        ]
        found = [
            replace(one, study=one.study or study, data=one.data or data)
            for one in (*self.readings, *self.of_other_data, *outside)
        ]
        return HoldoutRecord(
            readings=tuple(one for one in found if one.data in ("", into)),
            of_other_data=tuple(one for one in found if one.data not in ("", into)),
        )

    def joined(self, other: "HoldoutRecord") -> "HoldoutRecord":
        """Return this record with what ``other`` holds, each reading once, sorted by time."""
        return replace(
            self,
            values={**self.values, **other.values},
            readings=_merged(self.readings, other.readings),
            of_other_data=_merged(self.of_other_data, other.of_other_data),
        )

    def started(self, time: str, trials: Iterable[int]) -> "HoldoutRecord":
        """Return the record with one more reading, which has not ended yet."""
        # Written down before it happens: one that dies midway counts as well.
        reading = HoldoutReading(time=time, trials=tuple(sorted(trials)), kept=False)
        return replace(self, readings=(*self.readings, reading))

    def ended(self, values: Mapping[int, Mapping[str, float]]) -> "HoldoutRecord":
        """Return the record with the last reading's values."""
        *earlier, last = self.readings
        readings = (*earlier, replace(last, kept=True))
        return replace(self, values={**self.values, **values}, readings=readings)

    def why_again(self) -> tuple[str, ...]:
        """Say why the test set was read more than once; nothing if it was not."""
        known = [reading for reading in self.readings if reading.certain]
        causes = [
            # The name of a folder that --fresh moved aside ends in ".<time>".
            f"{count} by {study}, which this study was"
            f" {'started over' if '.' in study else 'forked'} from"
            for study, count in Counter(one.study for one in known if one.study).items()
        ]
        causes += [
            f"{count} by {program('mnist_core')} {by}"
            for by, count in Counter(one.by for one in self.outside).items()
        ]
        # The first own reading is expected; each further one needs a reason.
        own = [reading for reading in known if not reading.study]
        if broken := sum(not reading.kept for reading in own[:-1]):
            causes.append(f"{broken} broken off before the values were kept")
        seen: set[int] = set(own[0].trials) if own else set()
        later = missing = 0
        for reading in own[1:]:
            for trial in set(reading.trials) - seen:
                # Trials are numbered in the order of their training.
                if not seen or trial > max(seen):
                    later += 1
                else:
                    missing += 1
            seen.update(reading.trials)
        if later:
            causes.append(f"{_models(later)} confirmed after a reading")
        if missing:
            causes.append(f"{_models(missing)} not there before")
        if not causes and len(known) > 1:
            causes.append("for what was confirmed after a reading")
        return tuple(causes)

    @classmethod
    def from_attribute(cls, value: Any) -> "HoldoutRecord":
        """Return what ``to_attribute`` made; None: not read yet.

        Raises:
            RecordError: if the value has another shape.
        """
        if value is None:
            return cls()
        try:
            return cls(
                values={
                    int(number): {_text(name): float(one) for name, one in metrics.items()}
                    for number, metrics in value["values"].items()
                },
                readings=tuple(map(HoldoutReading.from_json, value["openings"])),
                of_other_data=tuple(map(HoldoutReading.from_json, value.get("of_other_data", ()))),
                absent=value.get("absent") is True,
            )
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(
                f"the record of the test set is not what this program writes"
                f" ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
            ) from error

    def to_attribute(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        values = {str(number): dict(metrics) for number, metrics in self.values.items()}
        stored: dict[str, Any] = {
            "openings": [one.to_json() for one in self.readings],
            "values": values,
        }
        if self.of_other_data:
            stored["of_other_data"] = [one.to_json() for one in self.of_other_data]
        return stored | ({"absent": True} if self.absent else {})


def command_readings(
    attributes: Mapping[str, Any], folder: Path | None = None
) -> tuple[StudyReading, ...]:
    """Return the readings by single commands in all folders of a study, see ``study_readings``.

    Args:
        attributes: the user attributes of its search.
        folder: the study's own, whatever its files name; None: only those that are recorded.

    Raises:
        UserError: if a file of readings cannot be read.
    """
    identity, listed = attributes.get(IDENTITY), attributes.get(FOLDERS)
    recorded = [Path(one) for one in listed if isinstance(one, str)] if listed else []
    found: dict[StudyReading, None] = {}
    # A storage that lies elsewhere, or a copy, is used with several folders. A recorded one counts
    # only while its files still name this study.
    for one in dict.fromkeys([*([folder] if folder else []), *recorded]):
        if one == folder or (identity and owner(one) == identity):
            found |= dict.fromkeys(study_readings.read(one))
    return tuple(sorted(found, key=lambda reading: reading.time))


def read_record(
    attributes: Mapping[str, Any], url: str, outside: tuple[StudyReading, ...] = ()
) -> HoldoutRecord:
    """Return all readings that a study has on record.

    Raises:
        RecordError: if the record has another shape.
    """
    try:
        return replace(HoldoutRecord.from_attribute(attributes.get(TEST)), outside=outside)
    except RecordError as error:
        raise RecordError(
            f"{shown(url)}: {error}; put a sound copy of the database in its place, or update this"
            " program if a newer one wrote it"
        ) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _merged(
    some: Iterable[HoldoutReading], more: Iterable[HoldoutReading]
) -> tuple[HoldoutReading, ...]:
    """Return each reading once: records that were inherited twice overlap."""
    found: dict[tuple[str, str, tuple[int, ...]], HoldoutReading] = {}
    for one in (*some, *more):
        found.setdefault((one.study, one.time, one.trials), one)
    return tuple(sorted(found.values(), key=lambda one: one.time))


def _models(n: int) -> str:
    return f"{counted(n, 'model')} {'was' if n == 1 else 'were'}"
