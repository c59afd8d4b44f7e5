"""``python -m mnist_core demo`` and ``studies demo``: draw, and see what a model says of it."""

import webbrowser
from typing import Annotated

import typer

from mnist_core.commands import options
from mnist_core.console.plain_text import counted
from mnist_core.runs import run_lookup
from mnist_core.web import server

HOST = "127.0.0.1"


def demo_command(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="a run, a study, its best_config.toml or a .safetensors file, to begin with",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="0: any free port")
    ] = 8090,
    open_browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="open the page in the browser")
    ] = True,
    weights: options.Weights = None,
    runs: options.Runs = run_lookup.RUNS,
    device: options.DeviceNow = "auto",
) -> None:
    """Open a page on which you draw a digit and see what a model says of it. Ctrl-C ends it.

    The page has three views. In the first one the probabilities of all classes move while you draw,
    beside the image that the model sees. In the second one a model of pairs says whether two
    drawings show the same class. The third one shows validation images, the model's mistakes first.
    Test images are shown only if you ask for them there, and that reading is recorded.

    It begins with the model that you name, else with the winner of a study, else with your latest
    run. If there are none, it begins with a small model that comes with this program; so it does
    after a --quick run, whose winner has hardly been trained: name it, e.g. optim_search-quick. The
    line that it prints names the model. On the page you choose among all of them. A model must take
    grey images of 28x28.

    Examples:
        python -m mnist_core demo

        python -m mnist_core demo 20261121-094345-net-d63c0f --port 9000 --no-browser

        python -m studies demo optim_search
    """
    from mnist_core.demo import application, choices

    found = choices.gather(what, runs=runs, weights=weights)
    demo = application.Demo(found, device)
    if what is not None:  # a mistake shows now, and not on the page
        demo.judge("0", pairs=found.models[0].pairs)
    with server.listen(
        application.application(demo, host=HOST), HOST, port, by="demo", next_free=True
    ) as listening:
        address = f"http://{HOST}:{listening.server_port}/"
        if port not in (0, listening.server_port):
            typer.echo(f"demo: port {port} is taken, so it is {listening.server_port}")
        if found.left_out:
            left = counted(found.left_out, "model")
            typer.echo(f"demo: {left} left out: damaged, or of images other than 28x28 in grey")
        first = found.models[0] if found.models else None
        title = f"{first.title} ({first.detail})" if first else "no model, which the page explains"
        typer.echo(f"demo: {address} begins with: {title}; Ctrl-C ends it")
        if open_browser and server.has_desktop():
            webbrowser.open(address)
        server.serve(listening, by="demo")
