"""The test phase: confirmed models meet the test images, once.

Nothing is chosen by the outcome, and each reading is recorded with the study before it happens.
Models that were confirmed after a reading are not read unless that is asked for: whoever searches
on after having seen test values, and looks again, selects on the test set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mnist_core.console.plain_text import counted
from mnist_core.files import from_here
from studies import engines
from studies.analysis.candidates import Candidate
from studies.analysis.holdout_record import HoldoutRecord
from studies.core.attributes import TEST
from studies.core.events import Stream
from studies.core.trials import TrialRecord
from studies.ledger.opening import Book
from studies.planning.layout import models_folder
from studies.planning.plan import Plan
from studies.protocol.checkpoints import Control
from studies.protocol.holdout_worker import read_test as read_with_trainer

ReadTest = Callable[[Plan, Mapping[int, Path]], Mapping[int, Mapping[str, float]]]
"""Evaluates models on the test images: files in, test metrics out, both by confirm trial."""


def read_confirmed(
    plan: Plan,
    book: Book,
    reading: HoldoutRecord,
    *,
    chosen: Sequence[Candidate],
    records: Sequence[TrialRecord],
    control: Control,
    stream: Stream,
    read: ReadTest | None = None,
    again: bool = False,
) -> HoldoutRecord:
    """Evaluate the confirmed models that have no test value yet; record it with the study.

    A reading that was broken off before its values were kept is made again, as nobody has seen
    them; it stays on record.

    Args:
        plan: the study's.
        book: the confirmation's.
        reading: the record so far.
        chosen: what was confirmed.
        records: the confirmation's trials.
        control: of this run.
        stream: of the test phase.
        read: evaluates models; by default the trainer does, in workers.
        again: read also when values of an earlier reading have been seen.

    Returns:
        The record, with what was read now.
    """
    if not plan.train.data.test_set:
        _say(stream, "there is no test set (data.test_set=false), so nothing is tested")
        if not reading.absent:
            reading = replace(reading, absent=True)
            book.set_attribute(TEST, reading.to_attribute())
        return reading
    if reading.absent:  # it came later
        reading = replace(reading, absent=False)
        book.set_attribute(TEST, reading.to_attribute())
    models = _unread(plan, reading, chosen, records, stream)
    if reading.seen and again and not models:
        _say(stream, "every confirmed model has its test value: the test set is not read again")
    if not models:
        return reading
    if reading.seen and not again:
        last = next(one for one in reversed(reading.readings) if one.kept)
        by = f" by study {last.study}" if last.study else ""
        _say(
            stream,
            f"the test set is read once, and was on {last.time}{by}: the"
            f" {counted(len(models), 'model')}"
            f" confirmed since {'gets' if len(models) == 1 else 'get'} no test value"
            " (--read-test-again reads it again, and records"
            " that)",
            level="warning",
        )
        return reading
    stream.emit("phase", None, name="test", total=len(models), done=0)
    # Written first: a reading that dies midway has happened all the same.
    control.reading = True
    try:
        reading = reading.begun(datetime.now(UTC).isoformat(timespec="seconds"), models)
        book.set_attribute(TEST, reading.to_attribute())
        found = read(plan, models) if read else _read_shared(plan, control, models)
        reading = reading.ended(found)
        book.set_attribute(TEST, reading.to_attribute())
    finally:
        control.reading = False
    for number in sorted(models):
        stream.emit("tested", number, metrics=dict(reading.values.get(number, {})))
    return reading


def _unread(
    plan: Plan,
    reading: HoldoutRecord,
    chosen: Sequence[Candidate],
    records: Sequence[TrialRecord],
    stream: Stream,
) -> dict[int, Path]:
    """Return the models without a test value by confirm trial; say which are not there."""
    folder = models_folder(plan)
    wanted = [
        record.number
        for record in records
        if record.state == "COMPLETE"
        and record.number not in reading.values
        and any(record.params == candidate.params for candidate in chosen)
    ]
    models = {number: folder / f"{number}.safetensors" for number in wanted}
    missing = [number for number, path in models.items() if not path.is_file()]
    if missing:
        listed = ", ".join(map(str, missing))
        _say(
            stream,
            f"models of confirm trials {listed} are not in {from_here(folder)}, so they have no"
            " test value",
            level="warning",
        )
    return {number: path for number, path in models.items() if number not in missing}


def _read_shared(
    plan: Plan, control: Control, models: Mapping[int, Path]
) -> Mapping[int, Mapping[str, float]]:
    """Have each worker evaluate a share of the models."""
    numbers, workers = sorted(models), plan.workers
    shares = [{n: models[n] for n in numbers[first::workers]} for first in range(workers)]
    found = engines.call(
        control.engine, read_with_trainer, [(plan, share) for share in shares if share]
    )
    return {number: values for share in found for number, values in share.items()}


def _say(stream: Stream, text: str, *, level: str = "info") -> None:
    stream.emit("message", None, text=text, level=level)
