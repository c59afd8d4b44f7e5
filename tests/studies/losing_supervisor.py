"""A supervisor killed while it puts a trial back: ``python losing_supervisor.py URL FOLDER``.

It loses a trial to a worker's death, and is killed -9 before the first database statement (or line
in the journal) of that, before the second … until one lives to its end; after each, a next run
begins the trial again. Of each it prints, as a line of JSON, the kill's signal, what the study
held, and the attempt that the next run began.
"""

import dataclasses
import itertools
import json
import os
import signal
import sys
from pathlib import Path

import optuna
import sqlalchemy
from toy import make_plan

from objectives.base import Outcome
from studies.core.attributes import ATTEMPT
from studies.core.trials import Failure
from studies.ledger.opening import open_search
from studies.storage.journal import Journal
from studies.storage.open import close_storage, open_storage

LOST = Failure(kind="WorkerLost", message="killed by SIGKILL")
url, folder = sys.argv[1:]
optuna.logging.set_verbosity(optuna.logging.ERROR)
search = {"sampler": "random", "pruner": "none", "retries": 1}
plan = dataclasses.replace(make_plan(Path(folder), trials=40, search=search), storage_url=url)


def kill_before(storage, moment):
    """Have this process killed before write number ``moment``."""
    left = itertools.count(moment - 1, -1)

    def watch(*_):
        if not next(left):
            os.kill(os.getpid(), signal.SIGKILL)

    if isinstance(storage, Journal):
        append = storage.file.append_logs
        storage.file.append_logs = lambda logs: (watch(), append(logs))[1]
    else:
        sqlalchemy.event.listen(storage.engine, "before_cursor_execute", watch)
        sqlalchemy.event.listen(storage.engine, "commit", watch)


def lose(moment):
    """Begin a trial, lose it, and be killed amid that."""
    storage = open_storage(url, create=True)
    book = open_search(plan, storage)
    task = book.ask()
    kill_before(storage, moment)
    book.lose(task, LOST)
    os._exit(0)  # nothing is closed


for moment in itertools.count(1):
    child = os.fork()
    if not child:
        lose(moment)
    _, status = os.waitpid(child, 0)
    storage = open_storage(url, create=False)
    study = optuna.load_study(study_name=plan.name, storage=storage)
    left = study.get_trials(deepcopy=False)[-1]
    with open_search(plan, storage) as book:
        task = book.ask()
        book.finish(task, Outcome(metrics={"val_accuracy": 0.5, "val_loss": 1.0}))
    close_storage(storage)
    found = [os.waitstatus_to_exitcode(status), left.state.name, left.user_attrs[ATTEMPT]]
    print(json.dumps([*found, task.number == left.number, task.attempt]), flush=True)
    if not status:
        break
