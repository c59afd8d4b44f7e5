"""A study's fingerprint: what must not change while its trials are compared with each other."""

import importlib.metadata
import platform
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import optuna
from optuna.trial import TrialState

from mnist_core.errors import UserError
from mnist_core.nested import difference
from mnist_core.version import TRAINER_VERSION
from studies.core.attributes import CODE, FINGERPRINT
from studies.planning.machine import DEVICE_KIND
from studies.planning.plan import Plan

PACKAGE = "mnist-studies"


def package_version() -> str:
    """Return this package's version; ``0`` when it runs from a tree that is not installed."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def describe(plan: Plan) -> dict[str, Any]:
    """Return versions and data hashes as JSON values; the data is loaded, if it is not yet."""
    from mnist_core.data.datasets import load

    data = load(plan.train.data)
    import torch

    return {
        "versions": {
            "python": platform.python_version(),
            # With its build, e.g. 2.15.0+cu132: what a training compares itself with.
            # A plain string: torch's own kind would have whoever receives it import torch.
            "torch": str(torch.__version__),
            "optuna": importlib.metadata.version("optuna"),
            "trainer": TRAINER_VERSION,
            PACKAGE: package_version(),
        },
        "data": {"fingerprint": data.fingerprint, "sha256": dict(data.sha256)},
    }


_MEANING = (
    *("objective", "metric", "direction", "seed", "space", "train"),
    *("objectives", "constraints"),
)
"""What of a fingerprint's values says what trials and their values mean."""


class FingerprintMismatch(UserError):
    """The study in the storage is not the one that is to be run."""


def check_fingerprint(study: optuna.Study, fingerprint: tuple[str, Mapping[str, Any]]) -> None:
    """Keep ``fingerprint`` with a new ``study``; compare it with that of an old one.

    Where only the code of the user's own objective or model is another one, it is taken over as
    long as no trial has a result: a mistake in it was mended. So it is in a study that an older
    version began, which kept no hash of that code.

    Args:
        study: an open study.
        fingerprint: a hash and the JSON values it was taken of.

    Raises:
        FingerprintMismatch: they differ; the message shows the first differences.
    """
    digest, values = fingerprint
    stored = study.user_attrs.get(FINGERPRINT)
    if stored is None:
        if study.get_trials(deepcopy=False):
            raise FingerprintMismatch(
                f"study {study.study_name!r} holds trials of another program; "
                "choose another storage, or begin anew (--fresh)"
            )
        study.set_user_attr(FINGERPRINT, {"hash": digest, "values": values})
        return
    if stored["hash"] == digest:
        return
    if _only_code(stored["values"], values) and (
        CODE not in stored["values"] or not _has_results(study)
    ):
        study.set_user_attr(FINGERPRINT, {"hash": digest, "values": values})
        return
    raise _mismatch(study.study_name, differences(stored["values"], values))


def check_readable(name: str, recorded: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Check that the parameters and values of a recorded study mean what a plan says.

    To read a study needs no more: the data, the trainer and the code may have changed since.

    Args:
        name: of the study.
        recorded: the values that its fingerprint was taken of.
        values: those of the plan's.

    Raises:
        FingerprintMismatch: if they do not; the message shows the first differences.
    """
    changes = differences(
        *({key: one[key] for key in _MEANING if key in one} for one in (recorded, values))
    )
    if changes:
        raise _mismatch(name, changes)


def _mismatch(name: str, changes: list[str]) -> FingerprintMismatch:
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return FingerprintMismatch(
        f"study {name!r} was begun with other settings "
        f"({'; '.join(changes[:3])}{more}); set them back, go on in a new study with the trials"
        " that fit (--fork), or begin anew (--fresh)"
    )


def _only_code(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two fingerprints' values differ in nothing but the code of the user's own."""
    without = [{k: v for k, v in values.items() if k != CODE} for values in (old, new)]
    return not differences(*without)


def _has_results(study: optuna.Study) -> bool:
    """Whether a trial has a value or, unless it failed, a report."""
    return any(
        trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state is not TrialState.FAIL and trial.intermediate_values)
        for trial in study.get_trials(deepcopy=False)
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name what differs between two fingerprints' values, e.g. ``train.epochs: 5 -> 6``."""
    return [
        f"{name}: {_show(x)} -> {_show(y)}"
        for name, x, y in sorted(difference(old, new), key=itemgetter(0))
    ]


def _show(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_environment(study: optuna.Study, values: Mapping[str, Any]) -> None:
    """Check that a study's trials and those to come are of the same environment, CPU or CUDA.

    Args:
        study: an open study.
        values: those that the plan's fingerprint is taken of.

    Raises:
        FingerprintMismatch: if they are not.
    """
    stored = study.user_attrs.get(FINGERPRINT)
    if stored is None:
        return
    then, now = (of.get(DEVICE_KIND, "cpu") for of in (stored["values"], values))
    if then != now:
        raise FingerprintMismatch(
            f"study {study.study_name!r} was run with device {then}, but it is {now} here; their"
            f" results are kept apart: set --device {then}, or --set results.folder=results/{now}"
        )
