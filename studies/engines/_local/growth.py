"""Whether workers that were added to a GPU make a study faster, by the time between reports."""

import statistics
from collections import deque

SAMPLES = 3
"""Times of each worker that are waited for: a report's time differs by a few per cent."""


class Growth:
    """Compares the reports of all workers a second before and after workers were added.

    The time between two reports of a trial is taken, as trials differ in their number of reports:
    many are pruned. What a worker does first, when it loads its data, does not count.
    """

    def __init__(self) -> None:
        self._alone = deque[float](maxlen=64)
        self._together: list[float] = []
        self._before = self._after = 0

    def grown(self, before: int, after: int) -> None:
        """Note that there are ``after`` workers from now on, instead of ``before``."""
        self._before, self._after = before, after

    def reported(self, seconds: float, *, crowded: bool) -> int:
        """Take the time of a report; return to how many workers to go back, 0: to none.

        It is said once, when the workers together are known to be no faster than those before.

        Args:
            seconds: since that worker's last report, or the begin of its trial.
            crowded: whether all workers were at work, and had loaded their data.
        """
        if not self._after:
            self._alone.append(seconds)
        elif crowded and self._alone:
            self._together.append(seconds)
            if len(self._together) >= SAMPLES * self._after:
                return self._judge()
        return 0

    def _judge(self) -> int:
        alone, together = map(statistics.median, (self._alone, self._together))
        before, slower = self._before, self._after / together <= self._before / alone
        self._alone.clear()  # judged once
        return before if slower else 0
