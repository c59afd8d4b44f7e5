"""The record of the test set: when it was read, of which models, and what came out.

It is kept with the confirmation. An opening is written down before it happens, so that one that
dies midway counts as well: the study then says that the images were read, and of what. A study that
was forked from another one, or begun anew in its place, inherits its openings: what was learned
from them went into it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mnist_core.counting import counted

TEST = "test"
"""The confirm study's user attribute that holds the record."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One time that the test set was read.

    Attributes:
        time: when, ISO 8601.
        trials: the confirm trials whose models were evaluated; empty: not recorded.
        kept: whether it came to its end, so that its values were kept.
        study: the study that read it, if that is one that this study comes from; else "".
    """

    time: str
    trials: tuple[int, ...] = ()
    kept: bool = True
    study: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that the test set was read for.

    Attributes:
        values: test metrics by number of the confirm trial.
        openings: each time it was read, the first one first.
    """

    values: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    openings: tuple[Opening, ...] = ()

    @property
    def times(self) -> tuple[str, ...]:
        """When the test set was read; its length is the count of readings."""
        return tuple(opening.time for opening in self.openings)

    @property
    def seen(self) -> bool:
        """Whether a reading came to its end, so that somebody may know what came out."""
        return any(opening.kept for opening in self.openings)

    def inherited(self, study: str) -> "Reading":
        """Return what comes of ``study``, whose record this is, begins with: openings, no values.

        Only those whose values were kept: nobody has learned anything from the others.
        """
        kept = (opening for opening in self.openings if opening.kept)
        return Reading(openings=tuple(replace(one, study=one.study or study) for one in kept))

    def begun(self, time: str, trials: Iterable[int]) -> "Reading":
        """Return the record with one more opening, which has not ended yet."""
        opening = Opening(time=time, trials=tuple(sorted(trials)), kept=False)
        return replace(self, openings=(*self.openings, opening))

    def ended(self, values: Mapping[int, Mapping[str, float]]) -> "Reading":
        """Return the record with the last opening's values."""
        *earlier, last = self.openings
        openings = (*earlier, replace(last, kept=True))
        return Reading(values={**self.values, **values}, openings=openings)

    def why_again(self) -> tuple[str, ...]:
        """Say why the test set was read more than once; nothing if it was not."""
        others = Counter(opening.study for opening in self.openings if opening.study)
        causes = [
            # The name of a folder that --fresh moved aside ends in ".<time>".
            f"{count} by {study}, which this study was {'begun anew' if '.' in study else 'forked'}"
            " from"
            for study, count in others.items()
        ]
        own = [opening for opening in self.openings if not opening.study]
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
        if not causes and len(self.openings) > 1:
            causes.append("for what was confirmed after a reading")
        return tuple(causes)

    @classmethod
    def from_attribute(cls, value: Any) -> "Reading":
        """Read what ``to_attribute`` wrote; None: not read yet.

        Of studies of earlier versions only the times are known.
        """
        if value is None:
            return cls()
        values = {int(number): dict(metrics) for number, metrics in value["values"].items()}
        if "openings" in value:
            openings = [
                Opening(
                    time=one["time"],
                    trials=tuple(one["trials"]),
                    kept=bool(one["kept"]),
                    study=one.get("study", ""),
                )
                for one in value["openings"]
            ]
        else:
            openings = [Opening(time=time) for time in value["times"]]
        return cls(values=values, openings=tuple(openings))

    def to_attribute(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        values = {str(number): dict(metrics) for number, metrics in self.values.items()}
        openings = [
            {"time": one.time, "trials": list(one.trials), "kept": one.kept}
            | ({"study": one.study} if one.study else {})
            for one in self.openings
        ]
        return {"openings": openings, "values": values}


def _models(trials: list[int]) -> str:
    return f"{counted(len(trials), 'model')} {'was' if len(trials) == 1 else 'were'}"
