"""One line that says what was trained on what, where and when."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_core.console.plain_text import counted
from mnist_core.version import PACKAGE
from studies.analysis.stored_study import Stored
from studies.core.trials import TrialRecord

_BRIEF = 9
"""Characters of a commit that stand in the line."""


def setup_line(found: Stored) -> str:
    """Return the study's model, data, budget, device, date and versions, as far as they are known.

    Settings that the search varies are named as such.
    """
    records = [record for record in (*found.search, *found.confirm) if record.state.finished]
    own = found.plan.spec.own is not None
    parts = [f"objective {found.plan.adapter.label}"] if own else _trainer(found, records)
    if device := _device(records):
        parts.append(device)
    if dates := _dates(records):
        parts.append(dates)
    versions = found.environment.get("versions", {})
    named = [f"{name} {versions[name]}" for name in (PACKAGE, "torch") if name in versions]
    named += [f"{name} {text}" for name, text in commit_texts(found.environment, brief=True)]
    text = "; ".join([*parts, *([", ".join(named)] if named else [])])
    return f"{text[:1].upper()}{text[1:]}."


def commit_texts(environment: Mapping[str, Any], *, brief: bool = False) -> list[tuple[str, str]]:
    """Return the commit of each checkout whose code the study ran, with the checkout's name."""
    found = []
    for name, known in environment.get("code", {}).items():
        commit = known["commit"][:_BRIEF] if brief else known["commit"]
        state = {True: " with changes", False: "", None: ", changes unknown"}[known["changed"]]
        found.append((name, f"{'commit ' if brief else ''}{commit}{state}"))
    return found


def _trainer(found: Stored, records: Sequence[TrialRecord]) -> list[str]:
    settings = found.plan.adapter.shared()
    model = f"model {settings['model.name']}" if "model.name" in settings else "several models"
    size = _range(records, "n_parameters")
    model += f" ({size} parameters)" if size else ""
    epochs, batch = settings.get("epochs"), settings.get("batch_size")
    images = {
        round(record.attributes["images"] / epochs)
        for record in records
        if record.complete and epochs and isinstance(record.attributes.get("images"), int)
    }
    data = f"trained on {found.plan.adapter.data_name}"
    if len(images) == 1:
        what = "pairs" if found.plan.spec.label == "pairs" else "images"
        data += f", {images.pop():,} {what} an epoch"
    budget = counted(epochs, "epoch") if isinstance(epochs, int) else "epochs as searched"
    return [
        f"{found.plan.adapter.label}: {model} {data}",
        f"{budget}, {'batch size as searched' if batch is None else f'batches of {batch}'}",
    ]


def _range(records: Sequence[TrialRecord], name: str) -> str:
    seen = {one for r in records if isinstance(one := r.attributes.get(name), int)}
    if not seen:
        return ""
    low, high = min(seen), max(seen)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _device(records: Sequence[TrialRecord]) -> str:
    def named(name: str) -> list[str]:
        return sorted({str(one) for r in records if (one := _text(r.attributes.get(name)))})

    devices, names, precisions = map(named, ("device", "device_name", "precision"))
    said = " and ".join(devices)
    said += f" ({', '.join(names)})" if names else ""
    return f"on {said}, {' and '.join(precisions)}" if said and precisions else said


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dates(records: Sequence[TrialRecord]) -> str:
    days = sorted({f"{r.started:%Y-%m-%d}" for r in records if r.started})
    if not days:
        return ""
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
