"""Which optimizer trains the small CNN best, each with its own learning rate?

Run: python -m studies.run optim_search
"""

from typing import Any

from search_spaces.optimizers import SPACE
from studies.catalog._shared import MILD_AUGMENTATION, SCREENED
from studies.spec import StudySpec

_TORCH_LR = {
    # torch.optim's own defaults; its SGD has one learning rate with and without momentum.
    "sgd": 1e-3,
    "momentum": 1e-3,
    "nesterov": 1e-3,
    "adam": 1e-3,
    "adamw": 1e-3,
    "nadam": 2e-3,
    "rmsprop": 1e-2,
    "adadelta": 1.0,
    "adagrad": 1e-2,
}
_TORCH_REST: dict[str, dict[str, Any]] = {
    # torch has no default momentum other than 0, which is "sgd"; 0.9 is what its examples use.
    "momentum": {"momentum.momentum": 0.9},
    "nesterov": {"nesterov.momentum": 0.9},
    "adam": {"optim.beta1": 0.9},
    "adamw": {"optim.beta1": 0.9},
    "nadam": {"optim.beta1": 0.9},
    "rmsprop": {"rmsprop.alpha": 0.99},
    "adadelta": {"adadelta.rho": 0.9},
}


def _torch_default(name: str) -> dict[str, Any]:
    decay = {"adamw.weight_decay": 0.01} if name == "adamw" else {"l2": 0.0}
    return {
        "optim.name": name,
        f"{name}.lr": _TORCH_LR[name],
        **_TORCH_REST.get(name, {}),
        **decay,
        "schedule.name": "constant",
    }


STUDY = StudySpec(
    name="optim_search",
    goal="Which optimizer trains the small CNN to the best validation accuracy in a fixed number "
    "of epochs, when each is given its own learning rate, weight decay and schedule?",
    minutes=4,
    space=SPACE,
    scientific="optim.name",
    fixed={
        "model.name": "net",
        "batch_size": 64,
        "epochs": 6,
    }
    | SCREENED
    | MILD_AUGMENTATION,
    defaults={name: _torch_default(name) for name in _TORCH_LR},
    baseline="adam",
    trials=60,
    trials_per_choice=5,
    confirm_seeds=4,
    quick={"epochs": 1, "search.trials": 9, "confirm.seeds": 3},
)
