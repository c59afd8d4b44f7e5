"""What a worker finds before the first trial, whatever kind of objective it is to run."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Largest:
    """The largest training at the ends of the space: its estimated seconds, its parameters."""

    seconds: float
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What a worker found.

    Attributes:
        fingerprint: names the data, e.g. its hash; "": the objective does not say.
        train_fingerprint: of the data without the test files.
        seconds: of a trial of each point that was asked for, measured or as the objective says;
            empty: not known.
        parameters: of each measured model; empty: the objective is not a trainer.
        flops: operations of each forward pass for one image or pair; a multiply-add is 2.
        epochs: of each training.
        memory: most bytes that the worker, or on CUDA its tensors, took.
        others: whether the space holds models or batches unlike the measured ones.
        largest: the largest of these others, if it is larger than all that were measured.
    """

    fingerprint: str
    seconds: tuple[float, ...] = ()
    parameters: tuple[int, ...] = ()
    flops: tuple[int, ...] = ()
    epochs: tuple[int, ...] = ()
    memory: int = 0
    others: bool = False
    largest: Largest | None = None
    train_fingerprint: str = ""
