"""Objectives that misbehave: it costs their trial, never the study, and the true reason is said."""

import gc
import math
import os
import signal
import struct
import subprocess
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import psutil
import pytest
from test_engines import run
from waiting import until

from mnist_core.errors import CtrlC
from objectives.base import Outcome, Task
from studies.engines._local.execution import execute
from studies.engines.inline import Inline
from studies.engines.local import Local

GOOD = {"val_accuracy": 0.5}


class Unreadable:
    """Raises when it is unpickled."""

    def __reduce__(self):
        return raises, ("from __reduce__",)


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("from __str__")


def raises(text):
    raise RuntimeError(text)


@dataclass(frozen=True)
class Scripted:
    """Does with each trial what is listed for it; the others are well."""

    does: dict[int, Any] = field(default_factory=dict)

    def __call__(self, task, report):
        how = self.does.get(task.number)
        if how is not None:
            return how(report)
        report(1, GOOD)
        return Outcome(metrics=GOOD)


def returned(metrics=GOOD, attributes=None):
    return Returned({} if attributes is None else attributes, metrics)


@dataclass(frozen=True)
class Returned:
    attributes: Any
    metrics: Any

    def __call__(self, report):
        report(1, GOOD)
        return Outcome(metrics=self.metrics, attributes=self.attributes)


@dataclass(frozen=True)
class Reported:
    step: Any
    metrics: Any

    def __call__(self, report):
        report(self.step, self.metrics)
        return Outcome(metrics=GOOD)


def says_nothing(report):
    raise Mute


def leaves(report):
    raise SystemExit(3)


def runs_out_of_memory(report):
    raise MemoryError


def ends_a_generator(report):
    raise GeneratorExit


def presses_ctrl_c(report):
    raise KeyboardInterrupt


def says_too_much(report):
    raise ValueError("x" * 10_000)


WRONG = {
    "a word as its metric": (returned({"val_accuracy": "high"}), "BadOutcome", "'high'"),
    "a word beside it": (returned({**GOOD, "note": "high"}), "BadOutcome", "metric note"),
    "None beside it": (returned({**GOOD, "x": None}), "BadOutcome", "metric x"),
    "no metrics": (returned(None), "BadOutcome", "NoneType"),
    "no attributes": (Returned(None, GOOD), "BadOutcome", "NoneType"),
    "an integer that is no float": (returned({"val_accuracy": 10**400}), "BadOutcome", "too large"),
    "a long name": (returned(attributes={"k" * 513: 1}), "BadOutcome", "512 characters"),
    "no JSON": (returned(attributes={"a": object()}), "BadOutcome", "'a'"),
    "a step that is too great": (Reported(2**31, GOOD), "BadReport", "step"),
    "a negative step": (Reported(-1, GOOD), "BadReport", "step"),
    "half a step": (Reported(1.5, GOOD), "BadReport", "1.5"),
    "a step as text": (Reported("1", GOOD), "BadReport", "'1'"),
    "a word reported": (Reported(1, {"val_accuracy": "high"}), "TypeError", "'high'"),
    "infinity": (Reported(1, {"val_accuracy": math.inf}), "NonFiniteLoss", "inf"),
    "an error without text": (says_nothing, "Mute", "Mute"),
    "an exit": (leaves, "SystemExit", "exit code 3"),
    "no memory": (runs_out_of_memory, "OutOfMemory", "MemoryError"),
    "an exception that is not an Exception": (ends_a_generator, "GeneratorExit", ""),
    "an error with much text": (says_too_much, "ValueError", "x"),
}


@pytest.mark.parametrize("engine", [Inline, lambda: Local(workers=2, threads=1)])
def test_what_is_no_result_costs_one_trial(tmp_path, engine):
    # Every second one is well: were all wrong, the search would be stopped.
    script = {2 * number: how for number, (how, _, _) in enumerate(WRONG.values())}
    records = run(tmp_path, engine(), Scripted(script), trials=2 * len(WRONG), sqlite=True)
    for (name, (_, kind, said)), record in zip(WRONG.items(), records[::2], strict=True):
        assert record.state == "FAIL", name
        assert record.failure.kind == kind, name
        assert said in record.failure.message, name
        assert len(record.failure.message) <= 1000
    assert {record.state for record in records[1::2]} == {"COMPLETE"}


@pytest.mark.slow
def test_a_keyboard_interrupt_of_the_objective_costs_one_trial(tmp_path):
    records = run(tmp_path, Local(workers=1, threads=1), Scripted({1: presses_ctrl_c}), trials=3)
    assert [record.state for record in records] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert records[1].failure.text.startswith("KeyboardInterrupt")


def test_a_key_that_the_user_presses_is_not_a_failure(monkeypatch):
    """Python's own handler raises KeyboardInterrupt as well; a study's handler raises CtrlC."""
    task = Task(number=0, params={}, seed=0)

    def end(error):
        def raise_it(report):
            raise error

        return execute(Scripted({0: raise_it}), task, lambda step, metrics: True)

    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        end(KeyboardInterrupt)
    monkeypatch.setattr(signal, "getsignal", lambda number: print)
    with pytest.raises(CtrlC):
        end(CtrlC)
    assert end(KeyboardInterrupt).kind == "KeyboardInterrupt"


def test_names_that_are_the_books_are_not_the_objectives(tmp_path):
    own = {"seed": 5, "attempt": 9, "failure": "text", "seconds": "abc", "order": 1, 3: "three"}
    (record,) = run(tmp_path, Inline(), Scripted({0: returned({**GOOD, 7: 1}, own)}), trials=1)
    assert record.state == "COMPLETE" and record.failure is None
    assert record.attempt == 0 and record.seed != 5 and record.seconds != "abc"
    assert record.attributes == {"3": "three"} and record.metrics == {**GOOD, "7": 1.0}


def forks_and_returns(report):
    os.fork()
    return Outcome(metrics=GOOD)


def forks_and_reports(report):
    child = os.fork()
    if child == 0:
        try:
            report(2, {"val_accuracy": 0.9})
        except RuntimeError:
            os._exit(42)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    report(1, GOOD)
    return Outcome(metrics=GOOD, attributes={"child": os.waitstatus_to_exitcode(status)})


def a_signal_without_a_name(report):
    os.kill(os.getpid(), signal.SIGRTMIN + 6)


def its_socket():
    (connection,) = [one for one in gc.get_objects() if type(one) is Connection]
    return connection.fileno()


def half_a_message(report):
    os.write(its_socket(), struct.pack("!i", 1000) + b"not all of it")
    os._exit(5)


def hangs_up(report):
    subprocess.Popen(["sleep", "3600"])
    os.close(its_socket())
    signal.pause()


DEATHS = {
    a_signal_without_a_name: f"was killed by signal {signal.SIGRTMIN + 6}",
    half_a_message: "left with exit code 5",
    hangs_up: "closed its connection, so it was ended",
}


def goes_elsewhere(report):
    os.chdir("/")
    return Outcome(metrics=GOOD, attributes={"at": os.getcwd()})


def loses_its_directory(report):
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")
    return Outcome(metrics=GOOD)


@pytest.mark.parametrize("moves", [goes_elsewhere, loses_its_directory])
def test_a_trial_ends_in_the_directory_where_it_began(tmp_path, monkeypatch, moves):
    """In every engine: all of them run a trial by ``execute``."""
    monkeypatch.chdir(tmp_path)
    task = Task(number=0, params={}, seed=0)
    result = execute(Scripted({0: moves}), task, lambda step, metrics: True)
    assert isinstance(result, Outcome) and os.getcwd() == str(tmp_path)
    assert result.attributes.get("at") in (None, "/")


@pytest.mark.slow
def test_how_a_worker_died_is_said_truly(tmp_path):
    before = len(psutil.Process().children(recursive=True))
    script = dict(enumerate(DEATHS))
    records = run(tmp_path, Local(workers=1, threads=1), Scripted(script), trials=4, retries=0)
    for record, said in zip(records, DEATHS.values(), strict=False):
        assert (record.state, record.failure.kind) == ("FAIL", "WorkerLost")
        assert record.failure.message.endswith(said)
    assert records[-1].state == "COMPLETE"
    until(lambda: len(psutil.Process().children(recursive=True)) == before)


@pytest.mark.slow
def test_processes_that_an_objective_forks_say_nothing(tmp_path):
    script = {1: forks_and_returns, 2: forks_and_reports}
    records = run(tmp_path, Local(workers=1, threads=1), Scripted(script), trials=4)
    assert [record.state for record in records] == ["COMPLETE"] * 4
    assert records[2].curve == {1: 0.5} and records[2].attributes["child"] == 42


def unreadable(report):
    return Outcome(metrics=GOOD, attributes={"a": Unreadable()})


@pytest.mark.slow
def test_a_result_that_cannot_be_read_is_a_failure(tmp_path):
    records = run(tmp_path, Local(workers=1, threads=1), Scripted({1: unreadable}), trials=3)
    assert [record.state for record in records] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert records[1].failure.message == "cannot be read here: RuntimeError: from __reduce__"
