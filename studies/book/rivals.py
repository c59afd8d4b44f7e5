"""Whether a running trial is stopped: whom it is compared with, and what the pruner says."""

from collections.abc import Mapping

from optuna.trial import FrozenTrial

from studies.book.pages import Pages
from studies.book.peers import Peers
from studies.search.batches import Batches
from studies.search.goals import Goals
from studies.search.pruning import FairPruning, Pruning


class Rivals:
    """Asks the pruner about a trial, which it compares with its rivals.

    These are the trials of the same choice. Where there are several objectives the curves are of
    the first one, and only trials that are as good beforehand in the others (no more parameters)
    can show by it that the trial is beaten; Optuna itself prunes nothing there.

    Args:
        pages: the trials.
        goals: what they are judged by.
        pruning: pruner name and options, and the scientific parameter.
        batches: only trials of earlier batches are rivals; None: all are.
    """

    def __init__(
        self, pages: Pages, goals: Goals, pruning: Pruning, batches: Batches | None = None
    ) -> None:
        name, options, scientific = pruning
        self._pages = pages
        self._goals = goals
        self._batches = batches
        self._peers = Peers(scientific, pages.trials)
        self._pruning = FairPruning(
            name,
            options,
            scientific=scientific,
            direction=pages.direction,
            write=pages.mark,
        )

    def beat(self, trial: FrozenTrial, latest: Mapping[int, Mapping[str, float]]) -> bool:
        """Whether ``trial``, whose last report is its last intermediate value, is to be stopped.

        Args:
            trial: a running trial of the book.
            latest: the last metrics of running trials, by number.
        """
        peers = self._peers.of(trial)
        if self._goals.several:
            own = latest.get(trial.number, {})
            peers = [
                peer
                for peer in peers
                if self._goals.as_good_beforehand(
                    latest.get(peer.number) or self._pages.metrics(peer), than=own
                )
            ]
        if self._batches is not None:
            peers = self._batches.earlier(trial, peers)
        return self._pruning.should_prune(trial, peers)
