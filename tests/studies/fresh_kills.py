"""``--fresh`` killed by kill -9 before each of its steps; what the next start finds then."""

import dataclasses
import itertools
import os
import shutil
import signal
import sys
import traceback
from functools import partial

import optuna
import sqlalchemy
from test_protocol import run
from toy import make_plan

from studies.analysis.holdout_record import HoldoutRecord
from studies.core.attributes import TEST
from studies.protocol import fresh_start, inherited_readings
from studies.protocol.fresh_start import inherit_record, start_fresh
from studies.protocol.inherited_readings import Heir
from studies.storage import copying, sqlite
from studies.storage.open import close_storage, open_storage

REAL_MAKE_FILE = sqlite.make_file


def plan_of(kind, folder, request, **options):
    """A small plan whose storage is of that kind: in its folder, or elsewhere."""
    plan = make_plan(folder, trials=6, seeds=2, **options)
    place = folder if "elsewhere" in kind else plan.folder
    url = f"{kind.split()[0]}:///{place / 'study.file'}"
    if kind == "postgresql":
        url = request.getfixturevalue("server").new_database()
    return dataclasses.replace(plan, storage_url=url)


def record(plan):
    """The record of the test set that the study of ``plan`` has, and whether it has a search."""
    storage = open_storage(plan.storage_url, create=False)
    try:
        names = optuna.get_all_study_names(storage)
        confirm = f"{plan.name}.confirm"
        if confirm not in names:
            return HoldoutRecord(), plan.name in names
        study = optuna.load_study(study_name=confirm, storage=storage)
        return HoldoutRecord.from_attribute(study.user_attrs.get(TEST)), plan.name in names
    finally:
        close_storage(storage)


def set_record(plan, value):
    storage = open_storage(plan.storage_url, create=False)
    study = optuna.load_study(study_name=f"{plan.name}.confirm", storage=storage)
    study.set_user_attr(TEST, value)
    close_storage(storage)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def die_at(number, action, *, lines=False):
    """Run ``action`` in a child that is killed by kill -9 before its ``number``-th step.

    A step changes a file, or ends a transaction that changes a database; with ``lines`` it is any
    line of the modules that take part.

    Returns:
        Whether it came so far.
    """
    child = os.fork()
    if child == 0:
        try:
            count(number, action, lines=lines)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "see the child's traceback"
    return status == signal.SIGKILL


def count(number, action, *, lines):
    steps = itertools.count(1)

    def step(*_):
        if next(steps) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    writing = set()

    def execute(connection, cursor, statement, *_):
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            writing.add(connection)

    def commit(connection):
        if connection in writing:
            step()

    def trace(frame, event, argument):
        if frame.f_code.co_filename not in MODULES:
            return None
        if event == "line":
            step()
        return trace

    def audit(event, arguments):
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes or event in CHANGES:
            step()

    if lines:
        sys.settrace(trace)
    else:
        sys.addaudithook(audit)
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", execute)
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "commit", commit)
    action()


CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
MODULES = (fresh_start.__file__, inherited_readings.__file__, copying.__file__)


def state(kind, base, folder, request):
    """A copy of the finished study ``base`` in ``folder``; returns its plan."""
    shutil.copytree(base.folder.parent, folder)
    url = base.storage_url.replace(str(base.folder.parent), str(folder))
    if kind == "postgresql":
        url = request.getfixturevalue("server").copy_of(base.storage_url)
    return dataclasses.replace(base, folder=folder / "toy", storage_url=url)


def next_start(plan):
    """What a run does before it makes the study; returns the record that it begins with."""
    heir = Heir(plan.location, plan.train.data.name, plan.goals)
    storage, _ = inherit_record(heir, open_storage(plan.storage_url, create=True))
    close_storage(storage)
    return record(plan)


def killed_everywhere(folder, kind, request, *, lines=False):
    """Kill ``--fresh`` before each step, and check the record that the next start finds."""
    base = plan_of(kind, folder / "base", request)
    run(base)
    found, _ = record(base)
    died, begun = 0, set()
    for number in itertools.count(1):
        plan = state(kind, base, folder / str(number), request)
        if not die_at(number, partial(start_fresh, plan, say=str), lines=lines):
            break
        died += 1
        if number % 2:  # the same command again, or without --fresh
            start_fresh(plan, say=str)
        again, search = next_start(plan)
        assert again.times == found.times, number
        # Either nothing has happened yet, or the new study knows of the old one's reading.
        assert search == (not again.readings[0].study), number
        begun.add(search)
        shutil.rmtree(folder / str(number))
    assert died > 1 and False in begun
