"""``python -m studies report STUDY…``: report.html and report.md."""

from pathlib import Path
from typing import Annotated

import typer

from mnist_core.errors import ConfigError
from studies.cli import options


@options.on_study(without=["study"])
def report_command(
    chosen: options.Chosen,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY…]",
            help=f"{options.STUDY_OR_FOLDER}; without one: the index of all results",
        ),
    ] = None,
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
    overview, shared axes and what `compare` says. An unfinished study is reported as far as it is.

    Without a study: writes index.html, which links the reports of all studies, into the folder of
    results. A run writes its page and the index at its end, without what takes seconds.

    Examples:
        python -m studies report optim_search --open

        python -m studies report optim_search activation_search --out both.html

        python -m studies report --open
    """
    if not names:
        _index(chosen, out, open_page=open_page)
        return
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
    from studies.report.index_page import INDEX, write_index
    from studies.report.page import gather
    from studies.report.result_json import FILE as RESULT
    from studies.report.result_json import result_json
    from studies.report.side_by_side import side_by_side
    from studies.report.table import markdown

    if out is not None:
        check_file(out, "--out", "report.html")
    found = [stored_study.read(chosen.find(name)) for name in names]
    results = [one.comparable().result for one in found]
    pages, place = [gather(one) for one in found], out or found[0].plan.folder / html.REPORT
    page = html.write(pages, place, side_by_side(found) if len(found) > 1 else None)
    text = page.with_suffix(".md")
    write_atomically(text, "\n".join(markdown(result) for result in results if result))
    if out is None and results[0] is not None:  # as a run writes it, beside report.md
        write_atomically(page.with_name(RESULT), json_text(result_json(results[0])) + "\n")
    if out is None and (place.parent.parent / INDEX).is_file():
        write_index(place.parent.parent)  # it links a page that was not there before
    typer.echo(f"report: {page} ({page.stat().st_size / 1e6:.2f} MB), {text}")
    if open_page:
        typer.launch(page.resolve().as_uri())


def _index(chosen: options.Chosen, out: Path | None, *, open_page: bool) -> None:
    """Write the index of the folder of results."""
    if out is not None:
        raise ConfigError("--out: the index lies beside the studies that it links; name a study")
    results = options.results(chosen.conf, chosen.assignments)
    if not results.is_dir():
        raise ConfigError(f"results.folder: there is no folder {results}; run a study first")
    from studies.report.index_page import write_index

    page = write_index(results)
    typer.echo(f"index: {page}")
    if open_page:
        typer.launch(page.resolve().as_uri())
