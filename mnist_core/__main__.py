"""The trainer's commands: ``mnist-core train|evaluate|summary|export|data …``.

``python -m mnist_core`` is the same program.
"""

from mnist_core.console.shadowed import exit_if_shadowed

if __name__ == "__main__":
    exit_if_shadowed()  # before any import that a user's file could break

import typer

from mnist_core.commands.compare_command import compare_command
from mnist_core.commands.evaluate_command import evaluate_command
from mnist_core.commands.export_command import export_command
from mnist_core.commands.models_command import models_command
from mnist_core.commands.options import WRITTEN
from mnist_core.commands.predict_command import predict_command
from mnist_core.commands.presets_command import app as presets_app
from mnist_core.commands.summary_command import summary_command
from mnist_core.commands.train_command import train_command
from mnist_core.commands.tune_batch_command import tune_batch_command
from mnist_core.commands.tune_command import tune_lr_command
from mnist_core.console import command_line
from mnist_core.console.shell_words import by_script, program
from mnist_core.data.cli import app as data_app
from mnist_core.demo.demo_command import demo_command

app = typer.Typer(
    add_completion=by_script(),  # a shell completes programs, not `python -m`
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train small image models, very fast, and look after their data.",
)


@app.callback()
def _options(version: command_line.VersionOption = False) -> None:
    del version  # its callback has handled it


app.add_typer(data_app, name="data")
app.add_typer(presets_app, name="presets")
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("predict")(predict_command)
app.command("demo")(demo_command)
app.command("compare")(compare_command)
app.command("summary")(summary_command)
app.command("models")(models_command)
app.command("export")(export_command)
app.command("tune-lr")(tune_lr_command)
app.command("tune-batch")(tune_batch_command)


def main() -> None:
    """Run the command line and exit."""
    command_line.run(app, program("mnist_core"), written=WRITTEN)


if __name__ == "__main__":
    main()
