"""``--retry-failed``: failed trials are run again, as many as planned, in every storage.

And the user's own code in the fingerprint: a mended mistake goes on, a changed result does not.
"""

import dataclasses
import json
import signal
import sys
import sysconfig

import optuna
import pytest
from optuna.trial import TrialState
from postgres import server  # noqa: F401
from toy import SPEC, Toy, make_plan
from toy_trail import plan_at, quiet, run  # noqa: F401

from mnist_core.errors import ConfigError, UserError
from objectives.base import TrainingError
from objectives.trainer.adapter import TrainerAdapter
from studies.analysis import stored_study
from studies.cli.first_failure import FirstTraceback, is_mistake
from studies.core.attributes import FINGERPRINT
from studies.core.event_log import EventLog, survey
from studies.core.trials import Failure
from studies.engines._local.execution import failure_of
from studies.ledger import opening
from studies.ledger.retrying import check_retry
from studies.planning.fingerprint import FingerprintMismatch, check_fingerprint
from studies.report import overview
from studies.report.live import PlainView
from studies.report.progress import Progress
from studies.report.table import markdown
from studies.storage.open import close_storage, open_storage
from studies.tracking.follow import read_study

pytestmark = pytest.mark.usefixtures("quiet")


class Mistaken(Toy):
    """Reports more than the right one does, and then fails."""

    def __call__(self, task, report):
        self.ran.append(task)
        for step in range(1, 6):
            report(step, {"val_accuracy": 0.1})
        raise KeyError("val_acuracy")


class Half(Toy):
    """Adagrad alone fails."""

    def __call__(self, task, report):
        if task.params["optim.name"] == "adagrad":
            return Mistaken.__call__(self, task, report)
        return super().__call__(task, report)


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def plan(request, tmp_path):
    if request.param == "postgresql":
        return plan_at(tmp_path, request.getfixturevalue("server").new_database())
    return plan_at(tmp_path, f"{request.param}:///{tmp_path / 'toy' / 'study.file'}")


def by_number(ran):
    return {task.number: (task.params, task.seed, task.attempt) for task in ran}


def test_all_failed_then_mended(plan):
    wrong, same, right = Mistaken(), Mistaken(), Toy()
    with pytest.raises(UserError, match=r"9.*KeyError") as error:
        run(plan, wrong)
    assert "retry_failed=True" in str(error.value)
    with pytest.raises(UserError):
        run(plan, same)  # nothing is trained again without being asked to
    assert same.ran == []
    log = EventLog(plan.folder / "events.jsonl", print)
    result = run(plan, right, retry_failed=True, listeners=[log])
    assert result.best == "adam" and sum(result.states.values()) == 9
    assert by_number(right.ran[:9]) == by_number(wrong.ran)
    assert len(right.ran) == 9 + sum(map(len, result.confirm.values()))
    for record in stored_study.read(plan).search:
        assert record.state in ("COMPLETE", "PRUNED")
        assert [failure.kind for failure in record.failures] == ["KeyError"]
        assert record.failure is None and set(record.curve) <= {1, 2, 3}
    assert run(plan, Toy(), retry_failed=True).trained == 0


def test_those_that_did_not_fail_stay_as_they_are(plan):
    first, second = Half(), Toy()
    run(plan, first)
    before = {r.number: r for r in stored_study.read(plan).search}
    failed = {number for number, record in before.items() if record.state == "FAIL"}
    result = run(plan, second, retry_failed=True)
    assert failed and {task.number for task in second.ran[: len(failed)]} == failed
    assert result.failures == () and {row.label for row in result.rows} >= {"adagrad"}
    for record in stored_study.read(plan).search:
        if record.number not in failed:
            assert record == before[record.number]


def test_losses_before_the_failure_count_no_more(tmp_path):
    """Else the first loss after --retry-failed would be the end of the trial."""
    lost = Failure(kind="WorkerLost", message="killed")
    plan = make_plan(tmp_path, search={"retries": 1})
    storage = open_storage(plan.storage_url, create=True)
    attempts = []
    for retry in (False, True):
        with opening.open_search(plan, storage, retry=retry) as book:
            while (task := book.ask()).number == 0:
                attempts.append(task.attempt)
                book.lose(task, lost)
    close_storage(storage)
    assert attempts == [0, 1, 0, 1]


def test_a_second_failure_is_kept_beside_the_first(tmp_path):
    plan = make_plan(tmp_path, trials=6)
    for retry in (False, True, True):
        run(plan, Half(), retry_failed=retry)
    failed = [record for record in stored_study.read(plan).search if record.state == "FAIL"]
    assert failed
    for record in failed:
        assert len(record.failures) == 2 and record.failure.kind == "KeyError"
        assert record.attempt == 0


def test_log_and_trackers_have_the_last_end(tmp_path):
    plan = make_plan(tmp_path, trials=6)
    log = EventLog(plan.folder / "events.jsonl", print)
    plan.folder.mkdir(parents=True)
    run(plan, Half(), listeners=[log])
    log.close()
    file = plan.folder / "events.jsonl"
    failed = {n for (phase, n), t in read_study(file).trials.items() if t.state == "failed"}
    assert failed and not survey(file).retried
    line = next(x for x in file.read_text().splitlines() if '"kind":"failed"' in x)
    assert "KeyError" in json.loads(line)["data"]["traceback"]
    log = EventLog(file, print)
    run(plan, Toy(), retry_failed=True, listeners=[log])
    log.close()
    told = read_study(file).trials
    assert {told["search", n].state for n in failed} <= {"complete", "pruned"}
    assert set(survey(file).retried) == {("search", n) for n in failed}


def test_what_cannot_be_retried():
    with pytest.raises(ConfigError, match="--join"):
        check_retry(population=False, join=True)
    with pytest.raises(ConfigError, match="population"):
        check_retry(population=True, join=False)
    check_retry(population=False, join=False)


def test_a_kill_between_two_writes_loses_nothing(tmp_path, monkeypatch):
    """Killed after the trials wait and before they are announced: the next run goes on."""
    plan = make_plan(tmp_path, trials=6, sqlite=True)
    with pytest.raises(UserError):
        run(plan, Mistaken())

    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(opening, "announce", kill)
        run(plan, Toy(), retry_failed=True)
    events, right = [], Toy()
    result = run(plan, right, listeners=[events.append])
    assert len({task.number for task in right.ran[:6]}) == 6
    assert sum(result.states.values()) == 6
    assert [e.data["kind"] for e in events if e.kind == "lost"] == ["Retried"] * 6


@pytest.fixture
def with_code(tmp_path, monkeypatch):
    """A toy plan whose objective is a user's own, with the code that is given."""

    def make(code):
        monkeypatch.setattr(TrainerAdapter, "code", lambda *_: {"objectives/mine.py": code})
        return dataclasses.replace(make_plan(tmp_path, trials=6), spec=SPEC)

    return make


def test_a_mended_objective_goes_on_a_changed_one_does_not(with_code):
    with pytest.raises(UserError):
        run(with_code("a"), Mistaken())
    run(with_code("b"), Toy(), retry_failed=True)  # no trial had a result
    for retry in (False, True):
        with pytest.raises(FingerprintMismatch) as error:
            run(with_code("c"), Toy(), retry_failed=retry)
        assert "objectives/mine.py: b -> c" in str(error.value)
        assert "--fork" in str(error.value)
    assert stored_study.read(with_code("c")).differs == ""  # looking is free
    assert run(with_code("b"), Toy()).trained == 0


def test_a_study_of_before_takes_the_code_that_is_there(with_code, tmp_path):
    values = make_plan(tmp_path).fingerprint()[1]
    assert "code" not in values
    storage = open_storage(f"journal:///{tmp_path / 'log'}", create=True)
    study = optuna.create_study(study_name="toy", storage=storage)
    check_fingerprint(study, make_plan(tmp_path).fingerprint())
    study.add_trial(optuna.create_trial(state=TrialState.COMPLETE, value=1.0))
    new = with_code("a").fingerprint()
    check_fingerprint(study, new)
    assert study.user_attrs[FINGERPRINT]["hash"] == new[0]
    with pytest.raises(FingerprintMismatch):
        check_fingerprint(study, with_code("b").fingerprint())
    close_storage(storage)


EVIL = "\x1b]0;owned\x07 \ud800 <b> a|b"


class Evil(Toy):
    def __call__(self, task, report):
        if task.params["optim.name"] != "adam":
            raise ValueError(EVIL)
        return super().__call__(task, report)


def test_the_first_traceback_is_said_once_and_status_says_all(tmp_path, capsys):
    """Also of a text that a terminal would obey: it is shown everywhere, and obeyed nowhere."""
    said: list[str] = []
    view = PlainView(Progress(metric="val_accuracy"), said.append)
    plan = make_plan(tmp_path, trials=6)
    first = FirstTraceback(said.append)
    result = run(plan, Evil(), listeners=[first, view])
    tracebacks = [text for text in said if "Traceback" in text]
    assert len(tracebacks) == 1 and "ValueError" in tracebacks[0]
    found = stored_study.read(plan)
    overview.print_status(found)
    overview.print_failures(found)
    shown = capsys.readouterr().out
    assert "Traceback" in shown and "trial" in shown
    texts = [*said, shown, markdown(result)]
    assert sum("\\x1b]0;owned" in text for text in texts) >= 3
    for text in texts:
        text.encode()
        assert "\x1b" not in text and "\x07" not in text
    assert "\\<b> a\\|b" in markdown(result)


def test_a_reason_that_has_a_name_is_no_mistake():
    raised = failure_of(TrainingError("NonFiniteLoss", "the loss is nan"))
    assert not is_mistake(raised.traceback) and not is_mistake("")
    assert is_mistake(failure_of(KeyError("x")).traceback)


def leaves():
    sys.exit(3)


def leaves_with_words():
    sys.exit("no licence\nfor this machine")


def leaves_by_a_package():
    """As it is with W&B, which replaces ``sys.exit``."""
    found = {}
    hook = compile(
        "def leave(): raise SystemExit(4)", sysconfig.get_path("purelib") + "/h.py", "exec"
    )
    exec(hook, found)
    found["leave"]()


def interrupts_itself():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("code", "name", "words"),
    [
        (leaves, "SystemExit", "exit code 3"),
        (leaves_with_words, "SystemExit", "no licence for this machine"),
        (leaves_by_a_package, "SystemExit", "exit code 4"),
        (sys.exit, "SystemExit", "exit code 0"),
        (interrupts_itself, "KeyboardInterrupt", "line"),
    ],
)
def test_an_objective_that_ends_the_program_is_one_line_with_its_place(tmp_path, code, name, words):
    class Ends(Toy):
        def __call__(self, task, report):
            if task.params["optim.name"] != "adam":
                code()
            return super().__call__(task, report)

    said: list[str] = []
    first = FirstTraceback(said.append)
    # Ctrl-C is this program's alone while its own handler is in place, as in a study.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = run(make_plan(tmp_path, trials=6), Ends(), listeners=[first])
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == [] and result.best is not None
    found = stored_study.read(make_plan(tmp_path, trials=6))
    failures = [one.failure for one in found.search if one.failure]
    assert failures
    for failure in failures:
        assert failure.kind == name and words in failure.message
        assert "test_retrying.py, line" in failure.message and "\n" not in failure.message


@pytest.mark.parametrize("text", ["two\nlines?", "\x1b[2J?", "\ud800?", "\u202eabc?"])
def test_a_goal_or_a_name_that_cannot_be_printed_is_refused(text):
    for field in ("goal", "name", "metric"):
        with pytest.raises(ConfigError, match="printable") as error:
            dataclasses.replace(SPEC, **{field: text})
        str(error.value).encode()
