"""How far the accuracies of two trainings, one each, differ by chance alone.

*Seed noise* is used where other seeds of the same configurations are recorded: the prediction
interval of a normal variable (Hahn and Meeker 1991, Statistical Intervals, ch. 4). Else the
*binomial* test of two proportions stands in (Dietterich 1998, doi:10.1162/089976698300017197).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.comparison import compare, model_record
from mnist_core.comparison.model_record import ACCURACY, ModelRecord
from mnist_core.comparison.spread import rounding_error, t_quantile
from mnist_core.config import TrainConfig
from mnist_core.errors import DataError, UserError
from mnist_core.runs import run_lookup
from mnist_core.table import flatten

_Z = 1.96
_LEAST_FREEDOM = 2
"""With one degree of freedom t is 12.7: the images tell more than so few seeds."""

_NOT_MEANT = ("seed", "data.root", *(name for name in compare.COMPUTED if name != "precision"))
"""Settings in which trainings of one configuration may differ."""


@dataclass(frozen=True)
class Noise:
    """How far two accuracies differ by chance alone, in 19 cases of 20.

    Attributes:
        allowed: the greatest such difference, 0 to 1.
        of_seeds: whether from trainings with other seeds, and not from the number of images.
    """

    allowed: float
    method: str
    of_seeds: bool


def all_records(folders: Iterable[Path], checkpoint: str) -> list[ModelRecord]:
    """Return the records of all finished runs that can be read.

    Args:
        checkpoint: which of their models: ``last`` or ``best``.
    """
    found = []
    for folder in folders:
        try:
            found.append(model_record.of_a_run("", folder, checkpoint))
        except UserError:  # runs, was interrupted, or is of another version
            continue
    return found


def other_seeds(record: ModelRecord, others: Iterable[ModelRecord]) -> dict[int, float]:
    """Return the validation accuracy, by seed, of other trainings of the same configuration.

    The same is all but the seed and where it was computed: data, precision and the trainer's
    version must agree, as far as they are recorded.

    Args:
        others: may be of any configuration; ``record`` may be among them.
    """
    wanted = _meant(record.config)
    found = dict(record.other_seeds)
    for other in others:
        agree = all(
            known is None or known == theirs
            for known, theirs in (
                (record.data.get("fingerprint"), other.data.get("fingerprint")),
                (record.versions.get("trainer"), other.versions.get("trainer")),
            )
        )
        if agree and _meant(other.config) == wanted and other.config.seed != record.config.seed:
            found.setdefault(other.config.seed, other.metrics[ACCURACY])
    return found


def seed_noise(
    groups: Sequence[Mapping[int, float]], without: Collection[int], *, step: float
) -> Noise | None:
    """Return the noise as other seeds show it; None: there are too few.

    Args:
        step: the accuracy is read in steps of it: 1 / number of images.
    """
    squares, freedom, counts = 0.0, 0, []
    for group in groups:
        values = [value for seed, value in group.items() if seed not in without]
        counts.append(len(values))
        if len(values) > 1:
            mean = math.fsum(values) / len(values)
            squares += math.fsum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
    if freedom < _LEAST_FREEDOM:
        return None
    measured = math.sqrt(squares / freedom)
    spread = max(measured, rounding_error(step))  # at least what rounding to whole images makes
    allowed = t_quantile(freedom) * spread * math.sqrt(2)
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} like A, {counts[1]} like B"
    return Noise(
        allowed,
        f"sample standard deviation {100 * measured:.3f} points over the seeds of other runs of the"
        f" same configuration (n = {n}); two runs differ by up to t sqrt(2) times as much",
        of_seeds=True,
    )


def binomial_noise(errors: Sequence[float], kind: str, counts: Sequence[int]) -> Noise:
    """Return the noise as the number of images tells it.

    Args:
        kind: on what: ``images`` or ``pairs``, or both.
    """
    n = " and ".join(f"{count:,}" for count in dict.fromkeys(counts))
    how = "binomial" if kind == "images" else "bootstrap or binomial"
    return Noise(
        _Z * math.hypot(*errors),
        f"{how} standard error of {n} {kind}; other seeds of these configurations are not recorded,"
        " so it is a stand-in",
        of_seeds=False,
    )


def find_noise(a: ModelRecord, b: ModelRecord, runs: Path) -> Noise | None:
    """Return how far two validation accuracies differ by chance; None: nothing tells.

    Args:
        runs: where other seeds are looked for, beside the folders in which A and B lie.
    """
    roots = {record.run.resolve().parent.parent for record in (a, b) if record.run}
    folders = [f for root in sorted(roots | {runs.resolve()}) for f in run_lookup.all_runs(root)]
    names = {_checkpoint_name(record) for record in (a, b)}
    records = {name: all_records(folders, name) for name in names}
    groups = [other_seeds(record, records[_checkpoint_name(record)]) for record in (a, b)]
    trainers = {record.versions.get("trainer") for record in (a, b)} - {None}
    if _meant(a.config) == _meant(b.config) and len(trainers) <= 1 and compare.same_images(a, b):
        groups = [groups[1] | groups[0]]  # one configuration: each run counts once
    certain = [_certainty(record) for record in (a, b)]
    counts = [n for n, _ in certain if n]
    found = seed_noise(
        groups, (a.config.seed, b.config.seed), step=1 / min(counts) if counts else 0.0
    )
    if found or len(counts) < 2:
        return found
    kinds = {str(record.judged.get("of", "images")) for record in (a, b)}
    return binomial_noise([error for _, error in certain], "/".join(sorted(kinds)), counts)


def _certainty(record: ModelRecord) -> tuple[int, float]:
    """Return the number of validation images or pairs, and the accuracy's standard error.

    Where a run does not record it, the data set tells, if it is at hand (0: it is not).
    """
    if {"n", "accuracy_se"} <= record.judged.keys():
        return int(record.judged["n"]), float(record.judged["accuracy_se"])
    from mnist_core import models  # torch takes seconds to import
    from mnist_core.data import load

    if models.task(record.config.model) == "pairs":
        return 0, 0.0  # they share images: only the model itself could tell
    try:
        data = load(record.config.data)
    except DataError:
        return 0, 0.0
    if record.data.get("fingerprint") not in (None, data.fingerprint):
        return 0, 0.0
    n = len(data.validation)
    # As `readings.certainty` has it: one right and one wrong answer added, so that it is never 0.
    right = (record.metrics[ACCURACY] * n + 1) / (n + 2)
    return n, math.sqrt(right * (1 - right) / n)


def _meant(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in flatten(config.to_dict()).items() if key not in _NOT_MEANT}


def _checkpoint_name(record: ModelRecord) -> str:
    best = record.checkpoint is not None and record.checkpoint.stem == "best"
    return "best" if best and record.run else "last"
