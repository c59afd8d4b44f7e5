"""``python -m studies report STUDY…``: report.html and report.md."""

from pathlib import Path
from typing import Annotated

import typer

from mnist_core.errors import ConfigError
from studies.cli import options


@options.on_study(without=["study"])
def report_command(
    chosen: options.Chosen,
    names: Annotated[list[str], typer.Argument(metavar="STUDY…", help=options.STUDY_OR_FOLDER)],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="write here, not to report.html in the study's folder; needed for several studies",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="show it in the browser")] = False,
) -> None:
    """Write a study's report as one self-contained HTML page, and as Markdown.

    The page has the answer with its interval, the table, all figures, the worst mistakes, time and
    cost, a pruner audit and how to reproduce it. Several studies share a page, which begins with an
    overview. An unfinished study is reported as far as it is.

    Examples:
        python -m studies report optim_search --open

        python -m studies report optim_search activation_search --out both.html
    """
    if out is not None and out.suffix != ".html":
        raise ConfigError(f"--out: must be a file that ends in .html, but got {out}")
    if out is None and len(names) > 1:
        raise ConfigError(
            "--out: name a file for the page of several studies, e.g. --out both.html"
        )
    if len(set(names)) < len(names):
        raise ConfigError(f"STUDY: each study once, but got {' '.join(names)}")
    from mnist_core.files import check_file, write_atomically
    from studies.analysis import stored_study
    from studies.core.json_text import json_text
    from studies.report import page as html
    from studies.report.page import gather
    from studies.report.result_json import FILE as RESULT
    from studies.report.result_json import result_json
    from studies.report.table import markdown

    if out is not None:
        check_file(out, "--out", "report.html")
    found = [stored_study.read(chosen.find(name)) for name in names]
    results = [one.comparable().result for one in found]
    page = html.write([gather(one) for one in found], out or found[0].plan.folder / html.REPORT)
    text = page.with_suffix(".md")
    write_atomically(text, "\n".join(markdown(result) for result in results if result))
    if out is None and results[0] is not None:  # as a run writes it, beside report.md
        write_atomically(page.with_name(RESULT), json_text(result_json(results[0])) + "\n")
    typer.echo(f"report: {page} ({page.stat().st_size / 1e6:.2f} MB), {text}")
    if open_page:
        typer.launch(page.resolve().as_uri())
