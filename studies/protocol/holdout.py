"""The test phase: confirmed models meet the test images, once.

Nothing is chosen by the outcome, and each reading is recorded with the study before it happens.
Models that were confirmed after a reading are read only on request: a search that continues after
test values were seen, and reads again, selects on the test set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mnist_core.console.plain_text import counted
from mnist_core.errors import UserError
from mnist_core.files import from_here
from objectives.adapter import Adapter
from studies import engines
from studies.analysis.candidates import Candidate
from studies.analysis.holdout_record import HoldoutRecord
from studies.core.attributes import TEST, TEST_DATA
from studies.core.events import Stream
from studies.core.trials import TrialRecord
from studies.engines.base import Engine
from studies.ledger.opening import TrialBook
from studies.protocol.control import Control

ReadTest = Callable[[Adapter, Mapping[int, Path]], Mapping[int, Mapping[str, float]]]
"""Evaluates models on the test images: files in, test metrics out, both by confirm trial."""


def read_confirmed(
    book: TrialBook,
    reading: HoldoutRecord,
    *,
    models: Mapping[int, Path],
    adapter: Adapter,
    read: ReadTest,
    control: Control,
    stream: Stream,
    again: bool = False,
) -> HoldoutRecord:
    """Evaluate ``models``, by confirm trial, that have no test value yet; record it with the study.

    Returns:
        The record, with the values of this reading.
    """
    if adapter.no_test:
        _say(stream, f"{adapter.no_test}, so nothing is tested")
        return reading if reading.absent else _kept(book, replace(reading, absent=True))
    if reading.absent:  # it came later
        reading = _kept(book, replace(reading, absent=False))
    # A reading that was interrupted before its values were kept happens again, as its values were
    # never seen; it stays on record.
    models = _unread(models, reading, stream)
    if not models:
        if reading.seen and again:
            _say(stream, "every confirmed model has its test value: the test set is not read again")
        return reading
    # A search that continues after test values were seen, and reads again, selects on the test set.
    if reading.seen and not again:
        last = next(one for one in reversed(reading.readings) if one.kept)
        by = f" by study {last.study}" if last.study else ""
        _say(
            stream,
            f"the test set is read once, and was on {last.time}{by}: the"
            f" {counted(len(models), 'model')} confirmed since"
            f" {'gets' if len(models) == 1 else 'get'} no test value"
            " (--read-test-again reads it again, and records that)",
            level="warning",
        )
        return reading
    facts = {"name": "test", "total": len(models), "done": 0, "judged": adapter.judged}
    stream.emit("phase", None, **facts)
    # Recorded first: a reading that dies midway has happened all the same.
    control.reading = True
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        reading = _kept(book, reading.started(now, models))
        reading = _kept(book, reading.ended(read(adapter, models)))
    finally:
        control.reading = False
    for number in sorted(models):
        stream.emit("tested", number, metrics=dict(reading.values.get(number, {})))
    return reading


def keep_test_data(study: str, test_data: str, book: TrialBook) -> None:
    """Record the test files when a study first sees them; UserError: if they have changed since."""
    before = book.study.user_attrs.get(TEST_DATA)
    if test_data and before is None:
        book.set_attribute(TEST_DATA, test_data)
    elif test_data and before != test_data:
        raise UserError(
            f"study {study}: its test set was changed after the study saw it first (data"
            f" fingerprint {before} -> {test_data}); put the test files back"
        )


def _kept(book: TrialBook, reading: HoldoutRecord) -> HoldoutRecord:
    """Keep ``reading`` with the study, and return it."""
    book.set_attribute(TEST, reading.to_attribute())
    return reading


def confirmed_models(
    adapter: Adapter, folder: Path, chosen: Sequence[Candidate], records: Sequence[TrialRecord]
) -> dict[int, Path]:
    """Return the files in ``folder`` of the ``chosen`` configurations' models, by confirm trial."""
    return {
        record.number: adapter.kept(folder, record.number)
        for record in records
        if record.complete and any(record.params == candidate.params for candidate in chosen)
    }


def _unread(models: Mapping[int, Path], reading: HoldoutRecord, stream: Stream) -> dict[int, Path]:
    """Return the ``models`` without a test value; warn of missing files."""
    models = {number: path for number, path in models.items() if number not in reading.values}
    missing = [number for number, path in models.items() if not path.exists()]
    if missing:
        listed = ", ".join(map(str, missing))
        _say(
            stream,
            f"models of confirm trials {listed} are not in"
            f" {from_here(models[missing[0]].parent)}, so they have no test value",
            level="warning",
        )
    return {number: path for number, path in models.items() if number not in missing}


def read_shared(engine: Engine, workers: int) -> ReadTest:
    """Return what has each of the ``engine``'s workers evaluate a part of the models."""

    def read(adapter: Adapter, models: Mapping[int, Path]) -> dict[int, Mapping[str, float]]:
        numbers = sorted(models)
        parts = [{n: models[n] for n in numbers[first::workers]} for first in range(workers)]
        calls = [adapter.reading(part) for part in parts if part]
        found = engines.call(engine, calls[0][0], [arguments for _, arguments in calls])
        return {number: values for part in found for number, values in part.items()}

    return read


def _say(stream: Stream, text: str, *, level: str = "info") -> None:
    stream.emit("message", None, text=text, level=level)
