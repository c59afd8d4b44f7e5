"""Attributes of a study that nobody of ours wrote: one line, no traceback, nothing changed."""

import shutil
import tempfile
from pathlib import Path

import optuna
import pytest
from fresh_kills import files
from hypothesis import given, settings
from hypothesis import strategies as st
from made_studies import JSON
from test_forking import WIDER, changed
from test_protocol import run
from toy import make_plan
from toy_trail import describe

from mnist_core.errors import UserError
from studies.analysis import stored_study
from studies.protocol import phases
from studies.protocol.fork import fork
from studies.protocol.fresh_start import start_fresh
from studies.report.table import markdown
from studies.storage.copying import copy_study
from studies.storage.open import close_storage, open_storage

SEARCH = ("fingerprint", "budget", "runs", "order", "stopped", "forked", "enqueued", "population")
CONFIRM = ("fingerprint", "environment", "test", "race")
PLACES = [("toy", name) for name in (*SEARCH, "lease")]
PLACES += [("toy.confirm", name) for name in CONFIRM]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    plan = make_plan(tmp_path_factory.mktemp("finished"), trials=6, seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", describe)
        run(plan)
        yield plan


def read(plan):
    found = stored_study.read(plan)
    if found.result is not None:
        assert found.phase and markdown(found.result)


def copy(plan):
    copy_study("toy", source=plan.storage_url, target=f"journal:///{plan.folder.parent}/copy.log")


def make_fork(plan):
    fork(changed(plan, **WIDER), "", say=str)


def fresh(plan):
    start_fresh(plan, say=str)


def set_attribute(plan, study, name, value):
    storage = open_storage(plan.storage_url, create=False)
    optuna.load_study(study_name=study, storage=storage).set_user_attr(name, value)
    close_storage(storage)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("toy", "fingerprint"), {"values": 3}),
        (("toy", "budget"), {"x": 1}),
        (("toy.confirm", "test"), {"values": 3}),
    ],
)
def test_an_attribute_of_another_shape_is_one_line(finished, place, value):
    check(finished, place, value, [read, copy, make_fork, run, fresh])


@pytest.mark.long
@settings(max_examples=40)
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_attribute_of_another_shape_is_one_line(finished, place, value):
    check(finished, place, value, [read, copy, make_fork, run, fresh])


def check(finished, place, value, commands):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(finished.folder, f"{folder}/toy")
        plan = make_plan(Path(folder), trials=6, seeds=2)
        set_attribute(plan, *place, value)
        for command in commands:
            before = files(Path(folder))
            try:
                command(plan)
            except UserError as error:
                assert "\n" not in str(error)
                if command is not run:  # which keeps its lease, and gives it up
                    after = files(Path(folder))
                    assert {p: c for p, c in after.items() if p.suffix != ".turn"} == {
                        p: c for p, c in before.items() if p.suffix != ".turn"
                    }
