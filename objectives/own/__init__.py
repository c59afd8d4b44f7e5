"""Objectives of one's own: a function, a class or a command, in a file of one's own.

    def objective(params, *, seed, report):
        for step in range(1, 11):
            report(step, {"score": …})
        return {"score": …}

    STUDY = StudySpec(name="mine", goal="…", space=SPACE, objective=objective, metric="score", …)

``docs/objectives.md`` describes them. Only ``params`` is needed. ``report`` raises ``StopTraining``
where the pruner stops the trial; let it pass. A returned number is the metric. A class is called
the same way, and has any of these hooks:

    class Mine:
        reports = 10                                   # of one trial, where it is known

        def prepare(self): …                           # once in each process
        def cost(self, params): return {"seconds": 2}  # of one trial, for the estimate and limits
        def __call__(self, params, *, seed, report): return {"score": …}
        def keep(self, params, seed, folder): …        # after a confirmed trial, in its process
        def test(self, params, seed, folder): return {"score": …}  # once, on data of its own
        def describe(self): return {"scikit-learn": sklearn.__version__}
"""

from objectives.base import StopTraining
from objectives.own.command import Command
from objectives.own.description import Own, own

__all__ = ["Command", "Own", "StopTraining", "own"]
