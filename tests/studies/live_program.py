"""Shows a made-up study in the live view until the file named first exists, then what is left."""

import sys
import time
from pathlib import Path

from live_events import search

from studies.report.console import make_console
from studies.report.live import LiveView
from studies.report.progress import Progress

end = Path(sys.argv[1])
print("before the view")
progress = Progress(metric="val_accuracy", choice="optim.name")
with LiveView(progress, make_console(), title="toy", hint="Ctrl-C: stop") as view:
    for event in search():
        view(event)
    print("printed meanwhile")
    print("an error meanwhile", file=sys.stderr)
    while not end.exists():
        time.sleep(0.05)
print("after the view")
