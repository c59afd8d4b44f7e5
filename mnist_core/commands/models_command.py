"""``python -m mnist_core models``: the models, and the options of one."""

from typing import Annotated

import typer

from mnist_core.commands import options


def models_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="print its options: name, default, values",
            show_default=False,
            autocompletion=options.model_names,
        ),
    ] = None,
) -> None:
    """List the models, or the options of one: what `--set model.NAME=VALUE` can set.

    torchvision's classifiers are called `torchvision:NAME`, e.g. `torchvision:mobilenet_v3_small`.
    A file in the project's folder is a model, too.

    Examples:
        python -m mnist_core models

        python -m mnist_core models flex_cnn
    """
    from mnist_core import models

    if name is None:
        for one in [*models.names(), *(f"{family}:NAME" for family in models.families())]:
            typer.echo(one)
        return
    found = models.options(name)
    if not found:
        typer.echo(f"{name} has no options")
    for option in found:
        default = "left out" if option.default is None else option.default
        about = f"; {option.description}" if option.description else ""
        typer.echo(f"model.{option.name} = {default} ({option.values}){about}")
