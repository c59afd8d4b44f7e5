"""A supervisor of a search whose trials pause: ``python pausing_supervisor.py FOLDER KIND COUNT``.

Event number COUNT of KIND (start, report, paused, pruned …) kills it with -9, amid what it does.
It prints how the search ended.
"""

import os
import signal
import sys
from pathlib import Path

from pausing_toy import PausingToy
from test_pausing import plan_in

from studies import engines
from studies.ledger.opening import open_search
from studies.storage.open import close_storage, open_storage

folder, kind, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
plan = plan_in(folder)


def listen(event):
    global left
    left -= event.kind == kind
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


storage = open_storage(plan.storage_url, create=True)
with (
    engines.create("local", workers=2, threads=1) as engine,
    open_search(plan, storage, listeners=[listen]) as book,
):
    engine.run(book, PausingToy(folder))
    print(book.done, book.total)
close_storage(storage)
