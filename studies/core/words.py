"""What the trials of a study are called: a study of the user's own has no trainings, no images."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Words:
    """Words of tables, notes and charts.

    Attributes:
        trial: one trial, as a noun whose plural ends in "s".
        spent: what the seconds are of.
        models: what the test phase judges.
        judged: one of them, as a noun whose plural ends in "s".
        curves: what a trial reports on the way.
        tested: where it does so.
        covered: what the intervals cover if the images are not in them.
    """

    trial: str
    spent: str
    models: str
    judged: str
    curves: str
    tested: str
    covered: str


_TRAINER = Words(
    trial="training",
    spent="of training",
    models="the same models",
    judged="model",
    curves="Validation curves",
    tested="on the test images",
    covered="The intervals cover the randomness of training, not the choice of the images, which"
    " are the same for all.",
)
_OWN = Words(
    trial="trial",
    spent="of trials",
    models="the same trials",
    judged="trial",
    curves="Reported values",
    tested="by the objective's test",
    covered="The intervals cover what the seed changes, and nothing that is the same for all"
    " trials, such as data.",
)


def words(*, own: bool) -> Words:
    """Return the words of the trainer's studies, or of an objective of the user's own."""
    return _OWN if own else _TRAINER
