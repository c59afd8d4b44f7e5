"""``studies reproduce`` of a study whose objective is the user's own."""

from pathlib import Path

from mnist_core import plugins
from mnist_core.console.shell_words import argument, command
from mnist_core.errors import ConfigError, UserError, is_ctrl_c, said
from objectives.base import Outcome, Task, TrainingError
from objectives.own import Command, Own
from objectives.own.adapter import OwnConfiguration
from objectives.own.run_trial import OwnObjective
from objectives.own.worker import describe, prepare
from studies import catalog
from studies.analysis.reproduction import Recorded
from studies.cli import reproduce_script
from studies.spec import StudySpec


def run_again(
    file: Path, recorded: Recorded, study: str | None = None
) -> tuple[float, dict[str, str]]:
    """Run what ``recorded`` of ``file`` was measured by; return its metric, and the facts here.

    ``study`` is the study's name or file, if a person has named it.

    Raises:
        UserError: if the study is not found, has another objective now, or the run fails.
    """
    config = recorded.config
    assert isinstance(config, OwnConfiguration)
    own, metric = _objective(file, recorded, config, study)
    fingerprint = prepare(own, ()).fingerprint
    before = recorded.facts.get("data_fingerprint", "")
    if before != fingerprint:
        raise UserError(
            f"{file}: was measured on other data: prepare returned {before!r}, but returns"
            f" {fingerprint!r} here"
        )
    outcome = _run(file, own, config, metric)
    if recorded.metric not in outcome.metrics:
        raise UserError(f"{file}: the objective gives no {recorded.metric}, which the record names")
    return outcome.metrics[recorded.metric], describe(own)["versions"]


def _run(file: Path, own: Own, config: OwnConfiguration, metric: str) -> Outcome:
    objective = OwnObjective(own=own, metric=metric, folder=str(Path.cwd()))
    task = Task(number=0, params=config.params, seed=config.seed)
    try:
        return objective(task, lambda step, metrics: None)
    except TrainingError as error:
        raise UserError(f"{file}: {error.message}") from None
    except BaseException as error:  # the user's code may raise anything
        if is_ctrl_c(error):
            raise
        kind = "the command" if isinstance(own.place, Command) else own.label
        raise UserError(f"{file}: {kind}: {said(error)}") from error


def _objective(
    file: Path, recorded: Recorded, config: OwnConfiguration, study: str | None
) -> tuple[Own, str]:
    """Return what the trial is run with again, and the name of a number that it returns."""
    if study is not None and plugins.is_file(study) and Path(study).is_file():
        reproduce_script.check_import(study)
        if not reproduce_script.defines_study(study):
            return reproduce_script.objective_in(study, config), recorded.metric
    if study is None and recorded.program and _base(recorded.study) not in catalog.names():
        word = catalog.file_word(recorded.program)
        again = command("studies", "reproduce", argument(file), "--study", word)
        raise ConfigError(
            f"{file}: its objective is in {recorded.program}, which no command runs by itself; if"
            f" you trust that file: {again}"
        )
    spec = _spec(file, recorded.study, study)
    own = spec.own
    if own is None or (own.label, dict(own.given)) != (config.objective, dict(config.given)):
        raise ConfigError(
            f"{file}: its value was measured by the objective {config.objective}, but that of study"
            f" {spec.name} is {spec.label} now; put it back, or run the study again"
        )
    return own, spec.metric


def _base(study: str) -> str:
    return study if study in catalog.names() else study.partition("-")[0]


def _spec(file: Path, study: str, given: str | None) -> StudySpec:
    """Return the study that the record names: no code is run that a file alone names."""
    if given is not None:
        name = catalog.named(given)
        if name not in (study, study.partition("-")[0]):
            raise ConfigError(f"--study: {file} is of study {study}, but got {name}")
        return catalog.get(name)
    base = _base(study)
    try:
        return catalog.get(base)
    except ConfigError as error:
        raise ConfigError(
            f"{file}: its objective is that of study {base}, which is not found here (--study names"
            f" its file): {error}"
        ) from None
