"""A study's fingerprint: what must not change while its trials are compared with each other."""

import hashlib
import json
from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mnist_core.errors import UserError
from mnist_core.table import difference
from objectives.adapter import Adapter
from studies.core.attributes import CODE, FINGERPRINT

if TYPE_CHECKING:  # it takes a second to import, and a plan needs none
    import optuna

DEVICE_KIND = "environment"  # Key of a fingerprint's values: ``cuda``. Absent on a CPU.

_MEANING = (
    *("objective", "metric", "direction", "seed", "space", "train"),
    *("objectives", "constraints"),
)
"""Keys of a fingerprint's values that say what trials and their values mean."""


class FingerprintMismatch(UserError):
    """The study in the storage is not the study that is to be run."""


def describe(adapter: Adapter) -> dict[str, Any]:
    """Return versions and data hashes as JSON values; a worker runs this."""
    function, arguments = adapter.description()
    found: dict[str, Any] = function(*arguments)
    return found


def digest_of(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of JSON values."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_fingerprint(study: "optuna.Study", fingerprint: tuple[str, Mapping[str, Any]]) -> None:
    """Keep the fingerprint of a new study; raise ``FingerprintMismatch`` if an old one differs."""
    digest, values = fingerprint
    stored = study.user_attrs.get(FINGERPRINT)
    if stored is None and study.get_trials(deepcopy=False):
        raise FingerprintMismatch(
            f"study {study.study_name!r} holds trials of another program; "
            "choose another storage, or start fresh (--fresh)"
        )
    if stored is not None and stored["hash"] == digest:
        return
    # A change of the user's own objective or model alone is accepted as long as no trial has a
    # result: it repairs a mistake.
    if stored is not None:
        old, new = ({k: v for k, v in of.items() if k != CODE} for of in (stored["values"], values))
        if differences(old, new) or (CODE in stored["values"] and _has_results(study)):
            raise _mismatch(study.study_name, differences(stored["values"], values))
    study.set_user_attr(FINGERPRINT, {"hash": digest, "values": values})


def check_readable(name: str, recorded: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Raise ``FingerprintMismatch`` if a recorded study's values mean something else than now."""
    # To read a study no more is needed: the data, the trainer and the code may have changed.
    old, new = ({key: of[key] for key in _MEANING if key in of} for of in (recorded, values))
    if changes := differences(old, new):
        raise _mismatch(name, changes)


def check_environment(study: "optuna.Study", values: Mapping[str, Any]) -> None:
    """Raise ``FingerprintMismatch`` unless all trials are of one environment, CPU or CUDA."""
    stored = study.user_attrs.get(FINGERPRINT)
    if stored is None:
        return
    then, now = (of.get(DEVICE_KIND, "cpu") for of in (stored["values"], values))
    if then != now:
        raise FingerprintMismatch(
            f"study {study.study_name!r} was run with device {then}, but it is {now} here; their"
            f" results are kept apart: set --device {then}, or --set results.folder=results/{now}"
        )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two fingerprints' values, e.g. ``train.epochs: 5 -> 6``."""
    found = sorted(difference(old, new), key=itemgetter(0))
    return [f"{name}: {_show(before)} -> {_show(after)}" for name, before, after in found]


def _show(value: Any) -> str:
    text = _plain(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _plain(value: Any) -> str:
    """Write a value, also a described parameter: ``0.001 to 0.1, log``."""
    if isinstance(value, Mapping) and "choices" in value:
        return _plain(value["choices"])
    if isinstance(value, Mapping) and {"low", "high"} <= value.keys():
        return f"{value['low']} to {value['high']}" + (", log" if value.get("log") else "")
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)


def _mismatch(name: str, changes: list[str]) -> FingerprintMismatch:
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return FingerprintMismatch(
        f"study {name!r} was started with other settings ({'; '.join(changes[:3])}{more}); set them"
        " back, continue in a new study with the trials that fit (--fork), or start fresh (--fresh)"
    )


def _has_results(study: "optuna.Study") -> bool:
    """Return whether a trial has a value or, unless it failed, a report."""
    return any(
        trial.state.name in ("COMPLETE", "PRUNED")
        or (trial.state.name != "FAIL" and trial.intermediate_values)
        for trial in study.get_trials(deepcopy=False)
    )
