"""What a population (``engine.ray.scheduler = "pbt"``) can do, checked before it starts."""

from mnist_core.changes import CHANGEABLE
from mnist_core.errors import ConfigError
from search_spaces.space import Float
from studies.planning.plan import Plan
from studies.planning.settings import StopSettings

PBT = "pbt"


def is_population(plan: Plan) -> bool:
    """Whether the trials of the search are members of a population."""
    return plan.settings.engine.ray.scheduler == PBT


def perturbed(plan: Plan) -> dict[str, Float]:
    """Return the parameters that a member changes when it copies another one, by name."""
    parameters = plan.spec.space.parameters
    return {name: p for name, p in parameters.items() if isinstance(p, Float)}


def check_population(plan: Plan) -> None:
    """Refuse what a population cannot do; other studies pass.

    Raises:
        ConfigError: if the engine is not ``ray``, a parameter cannot change midway, or a setting
            would have no effect.
    """
    if not is_population(plan):
        return
    spec, settings = plan.spec, plan.settings
    if settings.engine.name != "ray":
        raise ConfigError(
            f"study {plan.name}: a population (engine.ray.scheduler = pbt) is run by Ray Tune"
            f" alone; use --engine ray, but got {settings.engine.name}"
        )
    if len(spec.choices) > 1:
        raise ConfigError(
            f"engine.ray.scheduler: pbt copies states from member to member, so {spec.scientific}"
            f" must have one choice, but study {plan.name} compares {len(spec.choices)}; make a"
            " study of each"
        )
    for name, parameter in spec.space.parameters.items():
        if name == spec.scientific:
            continue
        setting = spec.space.setting(name)
        plain = isinstance(parameter, Float) and parameter.step is None and parameter.when is None
        if not plain or setting not in CHANGEABLE:
            raise ConfigError(
                f"engine.ray.scheduler: pbt changes hyperparameters midway, which {name} cannot;"
                " a Float without step and condition of one of these can:"
                f" {', '.join(CHANGEABLE)}"
            )
    _check_settings(plan)


def _check_settings(plan: Plan) -> None:
    search, ray = plan.settings.search, plan.settings.engine.ray
    wanted = {
        "search.pruner": (search.pruner, "none"),
        "search.sentinels": (search.sentinels, 0.0),
        "search.order": (search.order, "async"),
        **{
            f"search.stop.{name}": (getattr(search.stop, name), getattr(StopSettings(), name))
            for name in ("seconds", "target", "patience", "regret")
        },
        "search.objectives": (search.objectives, {}),
        "search.constraints": (search.constraints, {}),
        "engine.trial_seconds": (plan.settings.engine.trial_seconds, 0.0),
        "train.early_stopping": (plan.train.early_stopping, 0),
        "train.changes": (plan.train.changes, ()),
    }
    for name, (found, needed) in wanted.items():
        if found != needed:
            raise ConfigError(
                f"{name}: a population runs as a whole, to its end, so it must be"
                f" {needed or 'unset'}, but got {found}"
            )
    if ray.pbt_interval >= plan.train.epochs:
        raise ConfigError(
            f"engine.ray.pbt_interval: must be below the {plan.train.epochs} epochs of a training,"
            f" but got {ray.pbt_interval}"
        )
    if plan.trials_complete:
        raise ConfigError(
            "search.trials_complete: a population has search.trials members, which all run to the"
            " end; leave it out"
        )
    if plan.trials < 2:
        raise ConfigError(f"search.trials: a population has 2 members or more, not {plan.trials}")
