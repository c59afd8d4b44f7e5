"""What is to be reached on a GPU, in one place, and the verdict on each figure."""

from collections.abc import Mapping
from dataclasses import dataclass

GIVEN, OWN = "given", "our choice"
"""Who set a target: the project's task, or whoever wrote this list, before any measurement."""


@dataclass(frozen=True)
class Target:
    """One figure and its bound.

    Attributes:
        part: of ``gpu.py``, which measures it.
        figure: its name among the part's figures.
        what: in words.
        bound: the figure must be at least this, or at most.
        at_most: which of both.
        source: ``GIVEN`` or ``OWN``.
    """

    part: str
    figure: str
    what: str
    bound: float
    at_most: bool = False
    source: str = OWN

    def judge(self, figures: Mapping[str, float], *, on_gpu: bool) -> tuple[str, str]:
        """Return the figure as text, and the verdict."""
        value = figures.get(self.figure)
        if value is None:
            return "", "not measured"
        text = f"{value:,.4g}"
        if not on_gpu:
            return text, "not judged (CPU)"
        met = value <= self.bound if self.at_most else value >= self.bound
        return text, "met" if met else "MISSED"

    @property
    def sign(self) -> str:
        """The bound as text."""
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


MODELS = ("net", "cnn", "siamese")

TARGETS = (
    Target("all", "seconds", "the whole command, s", 540, at_most=True, source=GIVEN),
    Target("tests", "failed", "GPU tests that failed", 0, at_most=True, source=GIVEN),
    Target("tests", "passed", "GPU tests that passed", 1, source=GIVEN),
    # A graph starts all kernels of a step at once, so the host's time drops out.
    *(
        Target("trainer", f"{model}.graph", f"{model}, bf16: graph against none, times", 1.5)
        for model in MODELS
    ),
    # Kernels cannot follow one another faster than empty ones, nor move more than a copy does.
    *(
        Target(
            "trainer",
            f"{model}.floor",
            f"{model}, bf16, graph: a step's time over its highest floor, times",
            2.0,
            at_most=True,
        )
        for model in MODELS
    ),
    Target(
        "trainer",
        "loss",
        "first epoch's loss, graph against none, largest difference, %",
        2.0,
        at_most=True,
    ),
    # The bounds of two CPU cores: a GPU must not be slower.
    Target("fast99", "accuracy", "fast99: mean accuracy, %", 99.0, source=GIVEN),
    Target("fast99", "seconds", "fast99: median training, s", 2.5, at_most=True, source=GIVEN),
    # The engine ``fused`` is for GPUs if its best stack beats lone trainings and processes.
    *(
        Target("stacked", f"{model}.gain", f"{model}: best stack over the best of the rest", 1.0)
        for model in MODELS
    ),
    *(
        Target(
            "stacked",
            f"{model}.loss",
            f"{model}: first losses, stacked against alone, largest difference, %",
            2.0,
            at_most=True,
        )
        for model in MODELS
    ),
    Target("workers", "ratio", "trials/hour of the best number of workers against one, times", 2.0),
)
