"""The record of the test set: when it was read, of which models, and what came out.

It is kept with the confirmation. An opening is written down before it happens, so that one that
dies midway counts as well: the study then says that the images were read, and of what. A study that
was forked from another one, or begun anew in its place, inherits its openings: what was learned
from them went into it.

Openings of another data set are inherited too, apart: they count again where a later study returns
to that data set. Where the database of the earlier study is damaged, the record says that the test
set may have been read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mnist_core.checkpoints import study_readings
from mnist_core.checkpoints.study_readings import StudyReading
from mnist_core.console.plain_text import counted
from mnist_core.data.registry import share_images
from mnist_core.errors import UserError
from studies.core.attributes import FOLDERS, IDENTITY, TEST
from studies.storage.belonging import owner
from studies.storage.url import shown


class RecordError(UserError):
    """The record of the test set does not have the shape that this program writes."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One time that the test set was read.

    Attributes:
        time: when, ISO 8601; "" where that is not known.
        trials: the confirm trials whose models were evaluated; empty: not recorded.
        kept: whether it came to its end, so that its values were kept.
        study: the study that read it, if that is one that this study comes from; else "".
        data: name of the data set, of an inherited opening; "": that of this study.
        certain: False: it may have happened; the database that would tell is damaged or gone.
    """

    time: str
    trials: tuple[int, ...] = ()
    kept: bool = True
    study: str = ""
    data: str = ""
    certain: bool = True


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that the test set was read for.

    Attributes:
        values: test metrics by number of the confirm trial.
        openings: each time the study read it, the first one first.
        of_other_data: inherited openings of other data sets, kept for the studies that inherit.
        absent: whether the last run of the study was told that there is no test set.
        outside: each time a single command, as ``evaluate``, read it for a model of this study.
    """

    values: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    openings: tuple[Opening, ...] = ()
    of_other_data: tuple[Opening, ...] = ()
    absent: bool = False
    outside: tuple[StudyReading, ...] = ()

    @property
    def times(self) -> tuple[str, ...]:
        """When the test set was certainly read; its length is the count of readings."""
        own = [opening.time for opening in self.openings if opening.certain]
        return tuple(sorted([*own, *(one.time for one in self.outside)]) if self.outside else own)

    @property
    def uncertain(self) -> tuple[str, ...]:
        """Names of the earlier studies that may have read the test set."""
        return tuple(opening.study for opening in self.openings if not opening.certain)

    @property
    def empty(self) -> bool:
        """Whether there is nothing that another study could inherit."""
        return not (self.openings or self.of_other_data or self.outside)

    @property
    def seen(self) -> bool:
        """Whether a reading came to its end, so that somebody may know what came out."""
        return any(opening.kept for opening in self.openings)

    @classmethod
    def unknown(cls, study: str) -> "Reading":
        """Return the record of ``study``, which may have read the test set."""
        return cls(openings=(Opening(time="", kept=False, study=study, certain=False),))

    def inherited(self, study: str, *, data: str = "", into: str = "") -> "Reading":
        """Return the record that a study begins with which comes of ``study``: no values.

        Args:
            study: name of the study that this is the record of.
            data: name of its data set; "": not known, so it counts as that of the new study.
            into: name of the new study's data set.
        """
        outside = [
            Opening(
                time=one.time,
                trials=() if one.trial is None else (one.trial,),
                data="" if not into or share_images(one.data, into) else one.data,
            )
            for one in self.outside
        ]
        found = [
            replace(one, study=one.study or study, data=one.data or data)
            for one in (*self.openings, *self.of_other_data, *outside)
        ]
        mine = [one for one in found if one.data in ("", into)]
        return Reading(
            openings=tuple(mine),
            of_other_data=tuple(one for one in found if one not in mine),
        )

    def joined(self, other: "Reading") -> "Reading":
        """Return this record with what ``other`` holds, each opening once, sorted by time."""
        return replace(
            self,
            values={**self.values, **other.values},
            openings=_merged(self.openings, other.openings),
            of_other_data=_merged(self.of_other_data, other.of_other_data),
        )

    def begun(self, time: str, trials: Iterable[int]) -> "Reading":
        """Return the record with one more opening, which has not ended yet."""
        opening = Opening(time=time, trials=tuple(sorted(trials)), kept=False)
        return replace(self, openings=(*self.openings, opening))

    def ended(self, values: Mapping[int, Mapping[str, float]]) -> "Reading":
        """Return the record with the last opening's values."""
        *earlier, last = self.openings
        openings = (*earlier, replace(last, kept=True))
        return replace(self, values={**self.values, **values}, openings=openings)

    def why_again(self) -> tuple[str, ...]:
        """Say why the test set was read more than once; nothing if it was not."""
        known = [opening for opening in self.openings if opening.certain]
        others = Counter(opening.study for opening in known if opening.study)
        causes = [
            # The name of a folder that --fresh moved aside ends in ".<time>".
            f"{count} by {study}, which this study was {'begun anew' if '.' in study else 'forked'}"
            " from"
            for study, count in others.items()
        ]
        causes += [
            f"{count} by python -m mnist_core {by}"
            for by, count in Counter(one.by for one in self.outside).items()
        ]
        own = [opening for opening in known if not opening.study]
        broken = sum(not opening.kept for opening in own[:-1])
        if broken:
            causes.append(f"{broken} broken off before the values were kept")
        seen: set[int] = set(own[0].trials) if own else set()
        later: list[int] = []
        missing: list[int] = []
        for opening in own[1:]:
            for trial in set(opening.trials) - seen:
                # Trials are numbered as they are trained.
                (later if not seen or trial > max(seen) else missing).append(trial)
            seen.update(opening.trials)
        if later:
            causes.append(f"{_models(later)} confirmed after a reading")
        if missing:
            causes.append(f"{_models(missing)} not there before")
        if not causes and len(known) > 1:
            causes.append("for what was confirmed after a reading")
        return tuple(causes)

    @classmethod
    def from_attribute(cls, value: Any) -> "Reading":
        """Read what ``to_attribute`` wrote; None: not read yet.

        Of studies of earlier versions only the times are known.

        Raises:
            RecordError: the value has another shape.
        """
        if value is None:
            return cls()
        try:
            values = {int(number): _metrics(found) for number, found in value["values"].items()}
            if "openings" in value:
                openings = [_opening(one) for one in value["openings"]]
            else:
                openings = [Opening(time=_text(time)) for time in value["times"]]
            others = [_opening(one) for one in value.get("of_other_data", ())]
            absent = value.get("absent") is True
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(
                f"the record of the test set is not what this program writes"
                f" ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
            ) from error
        return cls(
            values=values,
            openings=tuple(openings),
            of_other_data=tuple(others),
            absent=absent,
        )

    def to_attribute(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        values = {str(number): dict(metrics) for number, metrics in self.values.items()}
        stored: dict[str, Any] = {"openings": list(map(_plain, self.openings)), "values": values}
        if self.of_other_data:
            stored["of_other_data"] = list(map(_plain, self.of_other_data))
        return stored | ({"absent": True} if self.absent else {})


def command_readings(
    attributes: Mapping[str, Any], folder: Path | None = None
) -> tuple[StudyReading, ...]:
    """Return the readings by single commands, see ``study_readings``, wherever a study ran.

    A storage that lies elsewhere, or a copy, is used with several folders. One that is recorded
    counts only while its files still name this study.

    Args:
        attributes: the user attributes of its search.
        folder: the study's own, whatever its files name; None: only those that are recorded.

    Raises:
        UserError: if a file of readings cannot be read.
    """
    identity, listed = attributes.get(IDENTITY), attributes.get(FOLDERS)
    recorded = [Path(one) for one in listed if isinstance(one, str)] if listed else []
    found: dict[StudyReading, None] = {}
    for one in dict.fromkeys([*([folder] if folder else []), *recorded]):
        if one == folder or (identity and owner(one) == identity):
            found |= dict.fromkeys(study_readings.read(one))
    return tuple(sorted(found, key=lambda reading: reading.time))


def read_record(
    attributes: Mapping[str, Any], url: str, outside: tuple[StudyReading, ...] = ()
) -> Reading:
    """Return all readings that a study has on record.

    Args:
        attributes: the user attributes of its confirmation.
        url: of the storage that holds them.
        outside: from ``command_readings``.

    Raises:
        RecordError: if the record has another shape.
    """
    try:
        return replace(Reading.from_attribute(attributes.get(TEST)), outside=outside)
    except RecordError as error:
        raise RecordError(
            f"{shown(url)}: {error}; put a sound copy of the database in its place, or update this"
            " program if a newer one wrote it"
        ) from error


def _opening(value: Any) -> Opening:
    return Opening(
        time=_text(value["time"]),
        trials=tuple(int(number) for number in value["trials"]),
        kept=bool(value["kept"]),
        study=_text(value.get("study", "")),
        data=_text(value.get("data", "")),
        certain=bool(value.get("certain", True)),
    )


def _plain(one: Opening) -> dict[str, Any]:
    """Return it as JSON; what is as usual is left out."""
    return (
        {"time": one.time, "trials": list(one.trials), "kept": one.kept}
        | ({"study": one.study} if one.study else {})
        | ({"data": one.data} if one.data else {})
        | ({} if one.certain else {"certain": False})
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _metrics(value: Any) -> dict[str, float]:
    return {_text(name): float(number) for name, number in value.items()}


def _merged(some: Iterable[Opening], more: Iterable[Opening]) -> tuple[Opening, ...]:
    """Return each opening once: records that were inherited twice overlap."""
    found: dict[tuple[str, str, tuple[int, ...]], Opening] = {}
    for one in (*some, *more):
        found.setdefault((one.study, one.time, one.trials), one)
    return tuple(sorted(found.values(), key=lambda one: one.time))


def _models(trials: list[int]) -> str:
    return f"{counted(len(trials), 'model')} {'was' if len(trials) == 1 else 'were'}"
