"""Which configuration of a choice leads: its best ones race on the first fresh seeds.

One search value is one seed on images that the search chose by, so the best of a choice's trials
may be the luckiest. Its best different configurations (``confirm.top``) are trained on the first
``FIRST_SEEDS`` confirm seeds, and only the leader gets the other seeds and enters the verdict
on configurations.

What decides is the mean of the metric that the *search* used, on the validation images. The
confirm images, which judge the leader later, are not looked at, so nothing is selected on them.
The leader follows from the candidates and these values alone: a resume finds the same one.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from studies.analysis.candidates import Candidate, of_choices
from studies.core.seeds import FIRST_SEEDS
from studies.core.trials import TrialRecord, TrialState
from studies.spec import StudySpec


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The configurations of one choice, or of one place on a front.

    Attributes:
        leader: of those that were not decided yet, the one with the best search value.
        others: the rest, best search value first.
        decided: whether all of them have ended on the first seeds; always, if there is only one.
    """

    leader: Candidate
    others: tuple[Candidate, ...]
    decided: bool


def leads(
    spec: StudySpec,
    chosen: Sequence[Candidate],
    records: Sequence[TrialRecord],
    seeds: Sequence[int],
) -> list[Lead]:
    """Return who leads each choice of ``chosen``.

    A configuration that failed on a seed does not lead one that failed on fewer. Ties go to the
    earlier search trial.

    Args:
        spec: the study's metric and direction.
        chosen: the result of ``candidates``.
        records: the confirm trials.
        seeds: all confirm seeds, in their order.
    """
    found = []
    for own in of_choices(chosen):
        standings = [_standing(spec, one, records, seeds[:FIRST_SEEDS]) for one in own]
        known = [standing for standing in standings if standing is not None]
        decided = len(own) == 1 or len(known) == len(own)
        best = standings.index(min(known)) if decided and len(own) > 1 else 0
        others = tuple(one for one in own if one is not own[best])
        found.append(Lead(leader=own[best], others=others, decided=decided))
    return found


def named(
    spec: StudySpec,
    chosen: Sequence[Candidate],
    records: Sequence[TrialRecord],
    seeds: Sequence[int],
) -> tuple[Candidate, ...]:
    """Return ``chosen`` with each leader under its choice's name, before its runners-up.

    The arguments are those of ``leads``.
    """
    taken = {*map(str, spec.choices), *(one.label for one in chosen if one.place == 1)}
    found: list[Candidate] = []
    for lead in leads(spec, chosen, records, seeds):
        several = lead.others != ()
        found.append(replace(lead.leader, name="") if several else lead.leader)
        for number, one in enumerate(lead.others, start=1):
            name = f"{one.choice}, runner-up" + (f" {number}" if len(lead.others) > 1 else "")
            name = _free(name, taken)
            found.append(replace(one, name=name, runner_up=True))
    return (*found, *(one for one in chosen if one.default))


def runners_up(confirmed: Sequence[Candidate]) -> dict[str, list[str]]:
    """Return the labels of the runners-up by the label of their leader; see ``named``."""
    found: dict[str, list[str]] = {}
    label = ""
    for one in confirmed:
        if one.runner_up:
            found[label].append(one.label)
        else:
            found[label := one.label] = []
    return found


def _standing(
    spec: StudySpec, one: Candidate, records: Sequence[TrialRecord], seeds: Collection[int]
) -> tuple[int, float, int] | None:
    """Return what is smallest for the leader; None: it has not ended on all of ``seeds``."""
    own = [r for r in records if r.seed in seeds and r.params == one.params]
    values = {
        r.seed: r.metrics.get(spec.metric, r.value)
        for r in own
        if r.complete and r.value is not None
    }
    failed = {r.seed for r in own if r.state is TrialState.FAIL} - values.keys()
    if len(values) + len(failed) < len(seeds):
        return None
    # Of values that are equal the sum must be, too, so in the order of the seeds.
    total = math.fsum(values[seed] or 0.0 for seed in seeds if seed in values)
    mean = spec.sign * total / len(values) if values else -math.inf
    return (len(failed), -mean, one.search_trial or 0)


def _free(name: str, taken: set[str]) -> str:
    """Return ``name``, changed if a choice is called so, and take it."""
    while name in taken:
        name += "'"
    taken.add(name)
    return name
