"""Pruners by name: their options, and what the program must know of each."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from optuna.study import StudyDirection

from mnist_core.errors import ConfigError, unknown_name
from studies.planning.settings import SearchSettings
from studies.search.optuna_options import check_options, refusals
from studies.search.pausing import FreezeThawPruner, Pausing
from studies.search.rungs import Rungs, check_hyperband, halving_rungs, hyperband_rungs
from studies.spec import StudySpec

_WRAPPED, _WRAPPED_OPTIONS = "wrapped", "wrapped_options"
Options = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PrunerKind:
    """What the program must know of a pruner; a new pruner is one more entry of ``PRUNERS``.

    Attributes:
        cls: Optuna's class.
        defaults: options in place of Optuna's.
        needs_one_of: options of which one must be set.
        bounds: whether its options ``lower`` and ``upper`` are bounds of the metric.
        wraps: whether it takes another pruner: its name as ``wrapped``, its ``wrapped_options``.
        wrappable: whether it can be wrapped, which hides from it reports of an improving trial.
        pauses: whether it pauses trials and continues the best, see ``studies/search/pausing.py``.
        progress, instances: whether it can judge steps that are the progress of one training, and
            steps that are separate instances.
        resources: returns options that depend on the most reports of a trial, unless they are set.
        rungs: returns the rungs at which it compares trials; None: it has none.
        first_report: returns the first report at which it may stop a trial, given its options.
        check: raises if its options do not fit the reports of a trial: where, options, reports.
    """

    cls: Callable[..., BasePruner]
    defaults: Options = field(default_factory=dict)
    needs_one_of: tuple[str, ...] = ()
    bounds: bool = False
    wraps: bool = False
    wrappable: bool = False
    pauses: bool = False
    progress: bool = True
    instances: bool = False
    resources: Callable[[int], Options] = lambda reports: {}
    rungs: Callable[[Options], Rungs] | None = None
    first_report: Callable[[Options], int] = lambda options: 1
    check: Callable[[str, Options, int], None] = lambda where, options, reports: None


def _after_warmup(options: Options) -> int:
    return max(1, int(options.get("n_warmup_steps", _WAIT["n_warmup_steps"])))


# Fewer trials than Optuna's 5 to begin with, as they are counted for each choice by itself. Reports
# are counted from 1, and the first two say little of a schedule that starts slowly: at the second,
# a median would stop 26 % of each optimizer's best three recorded settings, at the third 7 %.
_WAIT = {"n_startup_trials": 4, "n_warmup_steps": 3}
PRUNERS: Mapping[str, PrunerKind] = {
    "none": PrunerKind(cls=NopPruner, instances=True),
    "median": PrunerKind(
        cls=MedianPruner, defaults=_WAIT, wrappable=True, first_report=_after_warmup
    ),
    "percentile": PrunerKind(
        cls=PercentilePruner,
        defaults={"percentile": 25.0, **_WAIT},
        wrappable=True,
        first_report=_after_warmup,
    ),
    "successive_halving": PrunerKind(
        cls=SuccessiveHalvingPruner,
        resources=lambda reports: {"min_resource": max(1, reports // 100)},  # as Optuna's "auto"
        rungs=halving_rungs,
        first_report=lambda options: halving_rungs(options).first,
    ),
    "hyperband": PrunerKind(
        cls=HyperbandPruner,
        resources=lambda reports: {"max_resource": reports},
        rungs=hyperband_rungs,
        check=check_hyperband,
    ),
    "patient": PrunerKind(
        cls=PatientPruner,
        defaults={"patience": 2},
        wraps=True,
        first_report=lambda options: int(options.get("patience", 2)) + 2,
    ),
    "threshold": PrunerKind(
        cls=ThresholdPruner,
        needs_one_of=("lower", "upper"),
        bounds=True,
        wrappable=True,
        instances=True,
    ),
    "freeze_thaw": PrunerKind(
        cls=FreezeThawPruner,
        # Measured, see benchmarks/RESULTS.md: a factor of 3 or no whole trials cost regret.
        defaults={"reduction_factor": 2, "n_startup_trials": 3},
        pauses=True,
        resources=lambda reports: {"min_resource": (reports + 1) // 2},
        first_report=lambda options: int(options["min_resource"]),
    ),
    "wilcoxon": PrunerKind(cls=WilcoxonPruner, progress=False, instances=True),
}


def with_resources(name: str, options: Options, reports: int) -> dict[str, Any]:
    """Return ``options`` of pruner ``name`` with resources in the place of "auto"."""
    # Optuna learns "auto" from the first complete trial, so it would depend on their order.
    resources = PRUNERS[name].resources(reports) if name in PRUNERS else {}
    missing = {key: value for key, value in resources.items() if options.get(key, "auto") == "auto"}
    return {**options, **missing}


def rungs_of(name: str, options: Options) -> Rungs | None:
    """Return the rungs of pruner ``name``, whose options have resources; None: it has none."""
    rungs = PRUNERS[name].rungs
    return None if rungs is None else rungs(options)


def pausing_of(
    search: SearchSettings,
    spec: StudySpec,
    *,
    reports: int,
    may_prune: Callable[[int], bool] = lambda number: True,
) -> Pausing | None:
    """Return how trials pause and continue; None: the search's pruner pauses none.

    Args:
        search: the search's settings.
        spec: of the study.
        reports: the most that a trial makes.
        may_prune: whether a trial, by its number, may be paused.
    """
    if search.pruner not in PRUNERS or not PRUNERS[search.pruner].pauses:
        return None
    options = with_resources(search.pruner, search.pruner_options, reports)
    pruner = create_pruner(search.pruner, options)
    assert isinstance(pruner, FreezeThawPruner)
    return Pausing(
        pruner=pruner,
        reports=reports,
        scientific=spec.scientific,
        direction=StudyDirection[spec.direction.upper()],
        may_prune=may_prune,
    )


def bounds_of(name: str, options: Options) -> Options:
    """Return the options of pruner ``name``, or of one it wraps, that are bounds of the metric."""
    kind = PRUNERS[name]
    # A bound inside ``patient`` stops the same trials, only later.
    if kind.wraps and options.get(_WRAPPED) is not None:
        return bounds_of(options[_WRAPPED], options.get(_WRAPPED_OPTIONS, {}))
    return options if kind.bounds else {}


def create_pruner(name: str, options: Options) -> BasePruner:
    """Return the Optuna pruner ``name`` with ``options`` in place of the defaults.

    Raises:
        ConfigError: if the name or an option is unknown, or Optuna refuses a value.
    """
    if name not in PRUNERS:
        raise ConfigError(f"search.pruner: {unknown_name('pruner', name, PRUNERS)}")
    kind, source = PRUNERS[name], f"search.pruner_options ({name})"
    inner: dict[str, Any] = {}
    if kind.wraps:
        inner = {"wrapped_pruner": _wrapped(options, source)}
        options = {k: v for k, v in options.items() if k not in (_WRAPPED, _WRAPPED_OPTIONS)}
    check_options(kind.cls, options, source=source)
    if kind.needs_one_of and not set(kind.needs_one_of) & options.keys():
        raise ConfigError(f"{source}: it needs {' or '.join(kind.needs_one_of)}; set one")
    with warnings.catch_warnings(), refusals(source):
        warnings.simplefilter("ignore", ExperimentalWarning)
        return kind.cls(**{**kind.defaults, **inner, **options})


def _wrapped(options: Options, source: str) -> BasePruner | None:
    name, own = options.get(_WRAPPED), options.get(_WRAPPED_OPTIONS, {})
    if name is None:
        if own:
            raise ConfigError(f"{source}: {_WRAPPED_OPTIONS} need {_WRAPPED}, the pruner's name")
        return None
    wrappable = [known for known, kind in PRUNERS.items() if kind.wrappable]
    if name not in wrappable:
        with_rungs = [known for known, kind in PRUNERS.items() if kind.rungs is not None]
        why = "; it must see every report, and patient hides those of a trial that improves"
        raise ConfigError(
            f"{source}: {_WRAPPED} must be one of {', '.join(wrappable)}, but got {name!r}"
            f"{why if name in with_rungs else ''}"
        )
    if not isinstance(own, Mapping):
        raise ConfigError(f"{source}: {_WRAPPED_OPTIONS} must be a table, but got {own!r}")
    try:
        return create_pruner(name, own)
    except ConfigError as error:
        said = str(error).replace(f"search.pruner_options ({name})", _WRAPPED_OPTIONS)
        raise ConfigError(f"{source}: {said}") from None


def try_pruner(name: str, options: Options) -> None:
    """Have the pruner judge something, as Optuna checks some values only then."""
    study = optuna.create_study(pruner=create_pruner(name, options))
    with refusals(f"search.pruner_options ({name})"):
        # Enough trials and reports for each pruner to compare some.
        for number in range(6):
            trial = study.ask()
            for step in range(1, 5):
                trial.report(number + step, step)
                trial.should_prune()
            study.tell(trial, number)
