"""A supervisor of its own, to be killed or joined: ``python toy_supervisor.py '{JSON}'``.

It runs the whole toy study (search, confirm, test), and prints ``ready`` when its workers are
there, ``begun`` when its first trial runs, and the numbers of the search trials that it ran.
``meet: N``: after that it goes on when N supervisors have begun. ``hold: N``: once N of its trials
are over, 0: when the first runs, it says ``held`` and waits to be killed. ``track: NAMES``: these
follow its event log.
"""

import dataclasses
import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import optuna
from paced_toy import Paced, describe
from toy import TestSet, make_plan
from waiting import PATIENCE, until

from mnist_core.errors import UserError
from studies import engines
from studies.protocol import phases
from studies.protocol.control import ConfirmedElsewhere, Control
from studies.protocol.phases import run_study
from studies.report.table import result_event
from studies.storage import members, membership, process_identity
from studies.tracking.recording import Recording

options = json.loads(sys.argv[1])
folder, pace, url = Path(options.pop("folder")), options.pop("pace", 0.05), options.pop("url", "")
meet, hold = options.pop("meet", 0), options.pop("hold", None)
workers, trials = options.pop("workers", 1), options.pop("trials", 16)
track = options.pop("track", None)
if host := options.pop("host", ""):  # as if it ran on another machine
    process_identity.socket.gethostname = lambda: host
    members.LIMIT = members.LIMIT_OF_LOCKS = 3.0
    membership.BEAT = 0.5
phases.fingerprint.describe = describe
optuna.logging.set_verbosity(optuna.logging.WARNING)
tracking = {"trackers": track or [], "finish_seconds": PATIENCE}
search = options.pop("search", {})
plan = make_plan(folder, trials=trials, seeds=2, sqlite=True, search=search, tracking=tracking)
plan = dataclasses.replace(plan, workers=workers, storage_url=url or plan.storage_url)
ran, over = [], []


def listen(event):
    if event.kind == "message":
        print(event.data["text"], flush=True)
    if event.kind == "start":
        ran.append((event.phase, event.trial))
        if len(ran) == 1:
            print("begun", flush=True)
            begun = folder.parent / "begun"
            begun.mkdir(exist_ok=True)
            (begun / str(os.getpid())).touch()
            until(lambda: len(list(begun.iterdir())) >= meet)
    if event.kind in ("complete", "pruned", "failed"):
        over.append(event.trial)
    if event.kind in ("start", "complete", "pruned", "failed") and len(over) == hold:
        print("held", flush=True)
        time.sleep(3600)


def objective(plan, keep_models):
    return Paced(keep_models=keep_models, pace=pace)


def tell(tracker, line):
    print(f"{tracker}: {line}", flush=True)


try:
    with ExitStack() as stack:
        listeners = [listen]
        if track is not None:
            listeners.insert(0, stack.enter_context(Recording(plan, print, tell)))
        engine = stack.enter_context(engines.create("local", workers=workers, threads=1))
        print("ready", flush=True)
        result = run_study(
            plan,
            Control(engine),
            objective=objective,
            read_test=TestSet(),
            listeners=listeners,
            **options,
        )
        if track is not None:
            listeners[0].conclude(result, result_event(result))
except ConfirmedElsewhere:
    print(json.dumps({"ran": ran, "test": None}), flush=True)
    sys.exit()
except UserError as error:
    print(f"error: {error}", flush=True)
    sys.exit(1)
print(json.dumps({"ran": ran, "test": len(result.test.values)}), flush=True)
