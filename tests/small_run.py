"""A supervisor of its own, to be killed: ``python small_run.py FOLDER ENGINE TRIALS SLEEP HOLDS``.

It says ``ready`` when its engine is, and ``asked N`` at each Ctrl-C. From trial HOLDS on none ends.
There is no ``__main__`` guard, on purpose: workers must never run this file.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

import optuna
from toy_plans import toy_plan
from toys import Toy
from waiting import patient_ray

from mnist_core.errors import UserError
from studies import engines
from studies.ledger.opening import open_search
from studies.storage.open import close_storage, open_storage

optuna.logging.set_verbosity(optuna.logging.WARNING)
folder, name = Path(sys.argv[1]), sys.argv[2]
with (folder / "mains").open("a") as file:
    file.write("x")
plan = toy_plan(folder, trials=int(sys.argv[3]), workers=2)
storage = open_storage(plan.storage_url, create=True)
try:
    with (
        patient_ray() if name == "ray" else contextlib.nullcontext(),
        engines.create(name, workers=2, threads=1) as engine,
        open_search(plan, storage) as book,
    ):
        hits = 0

        def interrupt(*_: object) -> None:
            global hits
            hits += 1
            engine.stop(now=hits > 1)
            os.write(1, f"asked {hits}\n".encode())  # the next one may come amid a print

        signal.signal(signal.SIGINT, interrupt)
        print("ready", flush=True)
        engine.run(book, Toy(folder, sleep=float(sys.argv[4]), holds=int(sys.argv[5])))
except UserError as error:
    print(f"error: {error}", flush=True)
    sys.exit(1)
finally:
    close_storage(storage)
