"""What a population (``engine.ray.scheduler = "pbt"``) can do, checked before it starts."""

from mnist_core.changes import CHANGEABLE
from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from search_spaces.space import Float, Space
from studies.planning.plan import Plan
from studies.planning.settings import Settings, StopSettings


def perturbed(space: Space) -> dict[str, Float]:
    """Return the parameters that a member changes when it copies another one, by name."""
    return {name: p for name, p in space.parameters.items() if isinstance(p, Float)}


def check_population(plan: Plan) -> None:
    """Refuse what a population cannot do; other studies pass.

    Raises:
        ConfigError: if the engine is not ``ray``, a parameter cannot change midway, or a setting
            would have no effect.
    """
    spec, settings = plan.spec, plan.settings
    if not settings.population:
        return
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
    _check_settings(settings, plan.train)
    if plan.trials_complete:
        raise ConfigError(
            "search.trials_complete: a population has search.trials members, which all run to the"
            " end; leave it out"
        )
    if plan.trials < 2:
        raise ConfigError(f"search.trials: a population has 2 members or more, not {plan.trials}")


def _check_settings(settings: Settings, train: TrainConfig) -> None:
    search, interval = settings.search, settings.engine.ray.pbt_interval
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
        "engine.trial_seconds": (settings.engine.trial_seconds, 0.0),
        "train.early_stopping": (train.early_stopping, 0),
        "train.changes": (train.changes, ()),
    }
    for name, (found, needed) in wanted.items():
        if found != needed:
            raise ConfigError(
                f"{name}: a population runs as a whole, to its end, so it must be"
                f" {needed or 'unset'}, but got {found}"
            )
    if interval >= train.epochs:
        raise ConfigError(
            f"engine.ray.pbt_interval: must be below the {train.epochs} epochs of a training,"
            f" but got {interval}"
        )
