"""Events of a made-up study, as the live view gets them."""

from studies.core.events import Event


def event(of, number=None, /, *, phase="search", at=1000.0, **data):
    return Event(kind=of, phase=phase, trial=number, data=data, time=at)


def params(number, names=("sgd", "adam", "rmsprop")):
    return {"optim.name": names[number % len(names)], "optim.lr": 0.001 * (number + 1)}


def search(trials=9, total=20, **told):
    """Yield ``trials`` that end, of which each fourth is pruned and each fifth fails; one runs."""
    yield event("phase", name="search", total=total, **told)
    for number in range(trials):
        at = 1000.0 + 2 * number
        yield event("start", number, at=at, params=params(number))
        metrics = {"val_accuracy": 0.9 + number / 1000}
        yield event("report", number, at=at + 1, step=1, metrics=metrics)
        if number % 5 == 4:
            message = f"the loss is nan at step {number} of the training"
            yield event("failed", number, at=at + 2, kind="NonFiniteLoss", message=message)
        elif number % 4 == 3:
            yield event("pruned", number, at=at + 2, value=0.5, step=1)
        else:
            yield event("complete", number, at=at + 2, value=0.91 + number / 1000)
    yield event("start", trials, at=1000.0 + 2 * trials, params=params(trials))
    metrics = {"val_accuracy": 0.875}
    yield event("report", trials, at=1001.0 + 2 * trials, step=2, metrics=metrics)


def confirm(values=(0.95, 0.93, 0.96, 0.94, 0.955)):
    """Yield trainings of two configurations, of which one more fails and one runs."""
    yield event("phase", phase="confirm", name="confirm", total=8)
    for number, value in enumerate(values):
        yield event("start", number, phase="confirm", params=params(number % 2))
        yield event("complete", number, phase="confirm", value=value)
    failed, runs = len(values), len(values) + 1
    yield event("start", failed, phase="confirm", params=params(1))
    yield event("failed", failed, phase="confirm", kind="OutOfMemory", message="out of memory")
    yield event("start", runs, phase="confirm", params=params(0))
