"""Write the pages that are made from the programs: `python docs/make_pages.py`.

`docs/commands.md` has each command with its options, and what it printed when it was run.
`docs/settings.md` has each setting of `conf.toml`. `tests/test_pages.py` fails if one is old.
With `--run` the commands of `EXAMPLES` are run again, in a folder of their own (minutes), and what
they print is kept in `docs/outputs/`.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

QUICK = "optim_search --quick"
EXAMPLES = (
    f"studies run {QUICK} --order batch --trials 18 --set epochs=2 --set search.sentinels=9"
    " --track none",
    f"studies status {QUICK}",
    f"studies report {QUICK}",
    f"studies export {QUICK} --trial 4",
    f"studies tables {QUICK} --to tables",
    f"studies audit {QUICK}",
    f"studies replay {QUICK}",
    f"studies copy {QUICK} --to sqlite:///copied.db",
    "studies reproduce results/optim_search-quick/best_config.toml",
    "studies list",
    "studies clean",
    "studies show optim_search",
    "studies init my-project",
    "studies config",
    "studies doctor",
    "mnist-core data show",
    "mnist-core data verify mnist-10pct",
    "mnist-core models",
    "mnist-core presets list",
    "mnist-core presets show drawing_cnn",
    "mnist-core summary net",
    "mnist-core train --model net --epochs 1 --name first",
    "mnist-core train --model net --epochs 1 --name second --set seed=1",
    "mnist-core compare first second",
    "mnist-core evaluate first",
    "mnist-core predict first",
    "mnist-core export first --out first.pt2",
    "mnist-core tune-lr --model lenet5",
)
"""Run in this order in one empty folder, so later ones find what earlier ones wrote."""

COMMANDS_HEAD = """\
Written by `python docs/make_pages.py` from the programs; do not edit. `studies` is the same as
`python -m studies`, and `mnist-core` the same as `python -m mnist_core`; `--help` of each command
says what is here. The outputs are of one run on a machine with two cores, in the order of
`EXAMPLES` in that file. The study in them is a `--quick` one, so its numbers show the form and
nothing else.
"""

SETTINGS_HEAD = """\
Written by `python docs/make_pages.py` from `conf.toml` and the models of the settings; do not edit.
`studies config > conf.toml` writes the file to change. `--set KEY=VALUE` changes one setting for a
run: of `[train]` without the prefix (`--set optim.lr=0.01`), of all other tables with it
(`--set search.trials=20`). `studies show STUDY` prints each final value and where it comes from.
Later sources win: `conf.toml`, what the study fixes, `[studies.NAME]` in `conf.toml`, `--quick`,
`--set`.
"""

FIRST_LINES, LAST_LINES = 14, 30  # of an output that are shown


def words(command: str) -> list[str]:
    """Return the words that start ``command`` with this Python, without an installed program."""
    program, *rest = shlex.split(command)
    return [sys.executable, "-m", program.replace("mnist-core", "mnist_core"), *rest]


def output_file(command: str) -> Path:
    """Return where the output of ``command`` is kept."""
    return DOCS / "outputs" / (re.sub(r"\W+", "-", command).strip("-") + ".txt")


def run_examples(folder: Path) -> Iterator[tuple[str, str]]:
    """Run each example in ``folder``; yield the command and what it printed.

    Raises:
        RuntimeError: at the end, if a command failed.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STUDIES_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "MNIST_STUDIES_CACHE": str(folder / "cache"),
        "CUDA_VISIBLE_DEVICES": "",
        "COLUMNS": "100",
    }
    place = folder / "place"
    place.mkdir()
    failed = []
    for command in EXAMPLES:
        done = subprocess.run(
            words(command), cwd=place, env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            failed.append(f"{command} ended with {done.returncode}: {done.stderr}")
            continue
        said = done.stdout.replace(str(folder), "/home/me").replace(str(ROOT), "/home/me/checkout")
        yield command, said
    if failed:
        raise RuntimeError("\n".join(failed))


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield each command below ``command`` with its words, groups left out."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    for name, one in inner.items():
        yield from commands(one, (*path, name))


def every_command() -> list[tuple[str, Any]]:
    """Return all commands of both programs."""
    from mnist_core.__main__ import app as trainer
    from studies.__main__ import app as studies

    return [
        *commands(typer.main.get_command(studies), ("studies",)),
        *commands(typer.main.get_command(trainer), ("mnist-core",)),
    ]


def cell(text: str) -> str:
    """Return ``text`` as a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


INSTALLED = {
    "python -m studies.run": "studies run",
    "python -m studies": "studies",
    "python -m mnist_core": "mnist-core",
}


def text_of(command: Any) -> str:
    """Return the help of ``command`` with the installed programs' names."""
    text = (command.help or "").partition("\f")[0].strip()
    for module, program in INSTALLED.items():
        text = text.replace(module, program)
    examples = text.partition("Examples:\n")
    if not examples[1]:
        return text
    lines = [line.strip() for line in examples[2].splitlines() if line.strip()]
    return "\n".join((f"{examples[0]}```sh", *lines, "```"))


def described(name: str, command: Any) -> Iterator[str]:
    """Yield the lines on one command."""
    yield f"### {name}\n"
    if command.help:
        yield f"{text_of(command)}\n"
    context = command.context_class(command)
    records = filter(None, (one.get_help_record(context) for one in command.params))
    rows = [
        (re.sub(r" <list.*>$| <(\w+)>$", lambda kind: f" {kind[1] or ''}".upper(), names), text)
        for names, text in records
    ]
    if rows:
        yield "| argument or option | what it does |\n|---|---|"
        for names, text in rows:
            shown = " ".join(names.split())
            yield f"| `{shown if shown[0] == '-' else shown.removesuffix(' STR')}` | {cell(text)} |"
        yield ""
    for example in EXAMPLES:
        if f"{example} ".startswith(f"{name} ") and output_file(example).exists():
            yield from shown_output(example)


def shown_output(command: str) -> Iterator[str]:
    """Yield an example and its kept output."""
    lines = output_file(command).read_text(encoding="utf-8").rstrip().splitlines()
    if len(lines) > FIRST_LINES + LAST_LINES:
        left_out = f"… {len(lines) - FIRST_LINES - LAST_LINES} lines left out …"
        lines = [*lines[:FIRST_LINES], "", left_out, "", *lines[-LAST_LINES:]]
    yield f"```text\n$ {command}"
    yield from (line.rstrip() for line in lines)
    yield "```\n"


def commands_page() -> str:
    """Return ``docs/commands.md``."""
    found = every_command()
    lines = ["# Commands\n", COMMANDS_HEAD]
    for program in ("studies", "mnist-core"):
        lines.append(f"## {program}\n")
        for name, command in found:
            if name.split()[0] == program:
                lines.extend(described(name, command))
    return "\n".join(lines).rstrip() + "\n"


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the field of each setting of ``model``."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def kind_of(annotation: Any) -> str:
    """Return the name of a setting's type, or its values."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind_of(one) for one in arguments if one is not type(None))
    if origin in (list, tuple):
        return "list"
    if origin in (dict,) or not isinstance(annotation, type):
        return "table"
    return {"int": "whole number", "float": "number", "bool": "true, false", "str": "text"}.get(
        annotation.__name__, "table"
    )


def allowed(field: Any) -> str:
    """Return what a setting takes: its type or values, and its bounds."""
    signs = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
    bounds = [
        f"{sign} {getattr(one, kind.__name__.lower()):,}"
        for one in field.metadata
        for kind, sign in signs.items()
        if isinstance(one, kind)
    ]
    return ", ".join((kind_of(field.annotation), *bounds))


ENTRY = re.compile(r"(# )?([\w.]+) = (.*?)(?:\s+# (.*))?")


def settings_page() -> str:
    """Return ``docs/settings.md``: ``conf.toml``, with the bounds that the models have."""
    from studies.planning.settings import Settings

    fields = dict(leaves(Settings))
    lines = ["# Settings\n", SETTINGS_HEAD]
    rows: list[list[str]] = []
    table = ""
    text = (ROOT / "conf.toml").read_text(encoding="utf-8").partition("\n# Overrides for one study")
    for line in text[0].splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]\s*(?:# (.*))?", line):
            table, note = heading[1], heading[2]
            lines.extend(row_lines(rows))
            rows = []
            lines.append(f"## {table}\n")
            if note:
                lines.append(f"{note[0].upper()}{note[1:].rstrip('.')}.\n")
        elif table and (entry := ENTRY.fullmatch(line)):
            name = entry[2]
            # The trainer's tables stand beside `train` in the file, but inside it in the model.
            field = fields.get(f"{table}.{name}") or fields.get(f"train.{table}.{name}")
            default = f"left out (e.g. `{entry[3]}`)" if entry[1] else f"`{entry[3]}`"
            note = entry[4] or (field.description if field else "") or ""
            rows.append([name, default, allowed(field) if field else "", note])
        elif rows and (more := re.fullmatch(r"\s+# (.*)", line)):
            rows[-1][3] += f"{'; ' if ': see' in more[1] else ' '}{more[1]}"
    lines.extend(row_lines(rows))
    return "\n".join(lines).rstrip() + "\n"


def row_lines(rows: list[list[str]]) -> Iterator[str]:
    """Yield the table of ``rows``."""
    if not rows:
        return
    yield "| setting | default | takes | what it is |\n|---|---|---|---|"
    for name, default, takes, text in rows:
        yield f"| `{name}` | {cell(default)} | {cell(takes)} | {cell(text)} |"
    yield ""


PAGES = {"commands.md": commands_page, "settings.md": settings_page}


def main() -> None:
    """Write the pages; with ``--run`` run the examples first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", action="store_true", help="run the examples again (minutes)")
    if parser.parse_args().run:
        with tempfile.TemporaryDirectory() as folder:
            for command, said in run_examples(Path(folder)):
                print(command, flush=True)
                file = output_file(command)
                file.parent.mkdir(exist_ok=True)
                file.write_text(said, encoding="utf-8")
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
