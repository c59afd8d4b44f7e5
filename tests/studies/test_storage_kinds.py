"""One study in an SQLite file, a journal and a PostgreSQL database: the same trail in each."""

import subprocess

import optuna
import programs
import pytest
from fresh_kills import killed_everywhere, plan_of
from postgres import server  # noqa: F401
from test_afresh import begun_anew
from toy import Toy
from toy_trail import plan_at, quiet, reference, run, trail  # noqa: F401
from waiting import until

from studies.analysis import stored_study
from studies.engines._local.execution import Unwound
from studies.engines.inline import Inline
from studies.protocol.control import Control, StudyInterrupted
from studies.storage.contents import read_content
from studies.storage.leases import StudyInUse, supervisor, take
from studies.storage.open import close_storage, open_storage

KINDS = ("sqlite", "journal", "postgresql")
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def url(kind, tmp_path, request):
    return new_url(kind, tmp_path, request)


def new_url(kind, folder, request):
    if kind == "postgresql":
        return request.getfixturevalue("server").new_database()
    return f"{kind}:///{folder / 'toy' / 'study.file'}"


class StopAfter:
    """Asks the study to stop after some trainings, as Ctrl-C does."""

    def __init__(self, trainings):
        self.control = Control(Inline())
        self.left = trainings

    def __call__(self, event):
        if event.kind in ("complete", "pruned", "failed"):
            self.left -= 1
            if self.left == 0:
                self.control.stop()


def test_the_same_trail_also_when_interrupted_and_resumed(url, tmp_path, reference):  # noqa: F811
    plan = plan_at(tmp_path, url)
    stop, first, second = StopAfter(5), Toy(), Toy()
    with pytest.raises(StudyInterrupted):
        run(plan, first, listeners=[stop], control=stop.control)
    result = run(plan, second)
    assert len(first.ran) == 5
    assert result.best == "adam"
    assert trail(url) == reference
    assert stored_study.read(plan).phase == "finished"
    assert run(plan, Toy()).trained == 0


def test_a_killed_supervisor_leaves_nothing_running(url, tmp_path, reference):  # noqa: F811
    plan = plan_at(tmp_path, url)

    class Killed(Unwound):
        pass

    class KilledAt(Toy):
        def __call__(self, task, report):
            if len(self.ran) == 4:
                report(1, {"val_accuracy": 0.5})
                raise Killed
            return super().__call__(task, report)

    with pytest.MonkeyPatch.context() as patch:
        # What a killed process does not do any more.
        patch.setattr("studies.ledger.trial_book.TrialBook.close", lambda book: None)
        with pytest.raises(Killed):
            run(plan, KilledAt())
    storage = open_storage(url, create=False)
    states = [trial.state.name for trial in read_content(storage, "toy").trials]
    assert states.count("RUNNING") == 1
    close_storage(storage)
    run(plan, Toy())
    assert [state for _, state, *_ in trail(url)["toy"][3]] == [
        state for _, state, *_ in reference["toy"][3]
    ]


def test_a_second_supervisor_is_refused_until_the_first_is_killed(url):
    close_storage(open_storage(url, create=True))

    def hold():
        storage = open_storage(url, create=True)
        take(optuna.create_study(study_name="s", storage=storage, load_if_exists=True))
        print("held", flush=True)
        input()

    holder = programs.start(hold, stdin=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == "held\n"
        storage = open_storage(url, create=False)
        study = optuna.load_study(study_name="s", storage=storage)
        assert supervisor(study).pid == holder.pid
        with pytest.raises(StudyInUse, match=f"kill {holder.pid}"):
            take(study)
        with pytest.raises(StudyInUse, match=f"kill {holder.pid}"):
            take(study, force=True)  # for holders on other machines alone
        holder.kill()
        holder.wait()
        until(lambda: supervisor(study) is None)  # a server needs a moment to see it
        assert take(study).pid != holder.pid
        close_storage(storage)
    finally:
        holder.kill()
        holder.communicate()


def test_fresh_keeps_the_reading_of_the_test_set(tmp_path, request):
    begun_anew(plan_of("postgresql", tmp_path, request))


def test_fresh_killed_anywhere_keeps_it(tmp_path, request):
    killed_everywhere(tmp_path, "postgresql", request)
