"""The toy study at a pace that is never twice the same; workers import this, so it is light."""

import os
import random
import time
from dataclasses import dataclass

from toy import Toy

ENTROPY = random.SystemRandom()


@dataclass
class Paced(Toy):
    """Sleeps up to ``pace`` seconds before each report, by no seed: trials end in any order."""

    pace: float = 0.0

    def __call__(self, task, report):
        def slow(step, metrics):
            time.sleep(ENTROPY.uniform(0, self.pace))
            report(step, metrics)

        outcome = super().__call__(task, slow)
        self.ran.clear()
        outcome.attributes["pid"] = os.getpid()
        return outcome


def describe(plan):
    """In place of the real one, which loads data."""
    return {"versions": {"torch": "x"}}
