"""An exported training, run again."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console.safe_console import SafeConsole
from mnist_core.console.shell_words import command
from mnist_core.errors import ConfigError, UserError
from mnist_core.version import TRAINER_VERSION
from objectives.adapter import Repetition
from objectives.trainer import code
from objectives.training import CONFIRM


@dataclass(frozen=True)
class ExportedTraining:
    """See ``objectives.adapter.Exported``."""

    config: TrainConfig

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain nested values."""
        return self.config.to_dict()

    def again(
        self,
        file: Path,
        changes: Mapping[str, Any],
        metric: str,
        data: str | None,
        start: Callable[[], SafeConsole],
    ) -> Repetition:
        """Train it with its seed; with a metric of the confirm images, judge it by those."""
        config = self.config.override(changes, source="--device")
        code.check_here(config, file)
        from mnist_core import train
        from mnist_core.checkpoints import evaluate_checkpoint
        from mnist_core.data import load
        from mnist_core.device import runtime
        from mnist_core.runs import training_run

        if why := runtime.why_no_tf32(config):
            raise ConfigError(
                f"{file}: was trained in tf32, which only an NVIDIA GPU computes, but {why};"
                " reproduce it on a GPU. In fp32 it is another training: "
                + command("mnist_core", "train", file, "--device", "cpu", "--set", "precision=fp32")
            )
        config = train.resolve(config)
        loaded = load(config.data, config.device)
        check_data(file, config.data, data, loaded.fingerprint, loaded.train_fingerprint)
        own = code.facts(config)
        result = training_run.run(training_run.Plan(config=config), start())
        metrics, confusion = dict(result.metrics), result.confusion
        if metric.startswith(CONFIRM):
            found = evaluate_checkpoint.judge_on_confirm_images(result, loaded.n_classes)
            if found is not None:
                metrics |= {f"{CONFIRM}{name}": value for name, value in found.metrics.items()}
                confusion = found.confusion.tolist()
        facts = _facts(result.device_name, loaded.fingerprint) | own
        return Repetition(metrics=metrics, facts=facts, judged=sum(map(sum, confusion)))


def check_data(
    file: Path, data: DataConfig, recorded: str | None, fingerprint: str, *others: str
) -> None:
    """Check that the data here, which may have several fingerprints, are the ``recorded`` ones.

    Raises:
        UserError: if ``file`` records another fingerprint.
    """
    if recorded is not None and recorded not in (fingerprint, *others):
        root = ("--root", data.root) if data.root else ()
        verify = command("mnist_core", "data", "verify", data.name, *root)
        raise UserError(
            f"{file}: was trained on other data: the fingerprint of"
            f" {data.name} (split seed {data.split_seed}) was"
            f" {recorded}, but is {fingerprint} here; `{verify}` tells more"
        )


def _facts(device_name: str, data_fingerprint: str) -> dict[str, str]:
    """Return versions, device and data of this process, named as in a record."""
    import torch

    return {
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "trainer": TRAINER_VERSION,
        "device_name": device_name,
        "data_fingerprint": data_fingerprint,
    }
