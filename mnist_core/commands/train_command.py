"""``python -m mnist_core train``: one training with a progress bar, and a folder of what it did."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_core import files, presets, tracking
from mnist_core.commands import options
from mnist_core.config import TrainConfig, read_settings
from mnist_core.console.safe_console import text_console
from mnist_core.console.shell_words import command
from mnist_core.errors import ConfigError
from mnist_core.runs import run_lookup, run_record


def train_command(
    config_file: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="TOML file, e.g. a best_config.toml, or a preset"),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="which training of a preset that compares several")
    ] = None,
    model: options.ModelName = None,
    dataset: options.DataName = None,
    epochs: Annotated[int | None, typer.Option(help="times through the training images")] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    assignments: options.Assignments = None,
    test: Annotated[
        bool, typer.Option("--test", help="read the test images, once, at the end")
    ] = False,
    out: Annotated[Path, typer.Option(help="the run's folder goes there")] = run_lookup.RUNS,
    name: Annotated[
        str | None, typer.Option(help="name of the run's folder; left out: time, model, hash")
    ] = None,
    no_save: Annotated[bool, typer.Option("--no-save", help="write no folder")] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="resume an interrupted run")
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="trackers: wandb,tensorboard,mlflow,csv, or none"),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="draw curves, confusion and samples")] = True,
    save: Annotated[
        Path | None, typer.Option(help="write the trained model there, too (.safetensors)")
    ] = None,
) -> None:
    """Train one model and print how good it is on the validation images.

    Options win over CONFIG. What the training is and does goes into a folder of its own,
    results/runs/cpu/… or results/runs/cuda/…; `evaluate`, `predict` and `compare` take its name.

    Trackers keep the run beside the other runs of --out. W&B keeps it offline, unless
    WANDB_MODE=online; MLFLOW_TRACKING_URI names a server of MLflow.

    A choice by the test images uses them up, so they are read only with --test, and
    the reading is recorded in run.json.

    Examples:
        python -m mnist_core train --model net --set optim.name=adam --set optim.lr=0.003

        python -m mnist_core train results/optim_search/best_config.toml --test

        python -m mnist_core train drawing_cnn.toml --dataset mnist-10pct
    """
    changes = options.changes(
        assignments,
        model__name=model,
        data__name=dataset,
        epochs=epochs,
        seed=seed,
        device=device,
    )
    settings: dict[str, Any] = {}
    record: dict[str, Any] = {}
    if config_file is not None:
        config_file = presets.find(config_file)
        settings, record = read_settings(config_file)
    if presets.is_preset(settings):
        assert config_file is not None
        settings = _of_preset(config_file, variant)
    elif variant is not None:
        raise ConfigError(f"--variant {variant}: names a training of a preset; name its file, too")
    trackers = tracking.split(track)
    folder = None
    study_file = config_file if record else None
    if resume is not None:
        if changes or config_file or name or no_save:
            raise ConfigError(
                f"--resume {resume}: it resumes as it started; only --out, --test, --save, --track"
                " and --no-pictures go with it"
            )
        folder = run_lookup.find_run(resume, runs=out)
        config_file = folder / run_lookup.CONFIG
        settings, _ = read_settings(config_file)
        asked = run_record.read(folder).get("asked", {})
        test = test or asked.get("test") is True
        pictures = pictures and asked.get("pictures") is not False
        save = save or (Path(asked["save"]) if asked.get("save") else None)
        study_file = Path(asked["study_file"]) if asked.get("study_file") else None
        trackers = asked.get("track") if trackers is None else trackers
    config = TrainConfig.from_mapping(settings, source=str(config_file))
    config = options.override(config, changes, assignments)
    if save:
        files.check_file(save, "--save", "model.safetensors")
    if name is not None:
        run_lookup.check_name(name)
    if trackers and no_save:
        raise ConfigError(
            f"--track {','.join(trackers)}: trackers name a run by its folder, and --no-save writes"
            " none; leave one of them out"
        )

    from mnist_core.runs import training_run  # torch takes seconds to import, and --help needs none

    console = text_console()
    plan = training_run.Plan(
        config=config,
        root=None if no_save else out,
        name=name,
        overrides=changes,
        config_file=config_file,
        record=record,
        study_file=study_file,
        resume=folder,
        test=test,
        pictures=pictures,
        save=save,
        trackers=tracking.chosen(trackers or (), option="--track"),
    )
    training_run.run(plan, console)


def _of_preset(path: Path, variant: str | None) -> dict[str, Any]:
    """Return the settings of a preset's training."""
    preset = presets.read(path)
    if variant is None and len(preset.variants) > 1:
        known = ", ".join(one.name for one in preset.variants)
        raise ConfigError(
            f"{path}: compares several trainings; name one with --variant ({known}), or train all"
            f" of them: {command('mnist_core', 'presets', 'run', preset.name)}"
        )
    chosen = preset.variant(variant) if variant is not None else preset.variants[0]
    return preset.config_of(chosen).to_dict()
