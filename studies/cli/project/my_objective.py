"""Which kind of peak is higher? A study of a function, which trains nothing."""

import random
from typing import Any

from search_spaces.space import Choice, Float, Space
from studies.spec import StudySpec


def objective(params: dict[str, Any], *, seed: int) -> dict[str, float]:
    """Return the height at ``x``, with noise; put your own code here."""
    top = {"flat": 1.0, "steep": 1.2}[params["kind"]]
    noise = random.Random(seed).gauss(0, 0.01)
    return {"score": top - (params["x"] - 0.3) ** 2 + noise}


STUDY = StudySpec(
    name="my_objective",  # the file's name
    goal="Which kind of peak is higher, when each has its own place?",
    space=Space({"kind": Choice(("flat", "steep")), "x": Float(0.0, 1.0)}),
    scientific="kind",
    default={"kind": "flat", "x": 0.5},
    objective=objective,
    metric="score",
    trials=20,
)
