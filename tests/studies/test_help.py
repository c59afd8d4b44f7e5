"""``--help`` of every command: what is written is shown, and no paragraph is broken twice."""

import itertools
import re

import pytest
import typer.main
from in_this_process import ENTRANCES, here  # noqa: F401

from mnist_core import __main__ as trainer
from studies import __main__ as looking
from studies import run

APPS = {"studies": looking.app, "studies.run": run.app, "mnist_core": trainer.app}


def commands(command, path=()):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


EVERY = [
    (module, path, command)
    for module, app in APPS.items()
    for path, command in commands(typer.main.get_command(app))
]


def bare(text):
    return re.sub(r"[\s│╭╮╰╯─•]", "", text)


def test_there_are_commands_with_brackets():
    written = [text for _, _, c in EVERY for text in texts(c) if "[" in text]
    assert len(EVERY) > 25 and len(written) >= 2


def texts(command):
    return [t for t in (command.help, *(getattr(p, "help", "") for p in command.params)) if t]


@pytest.mark.parametrize("width", [80, 120])
def test_help_shows_what_is_written(here, monkeypatch, width):  # noqa: F811
    monkeypatch.setenv("COLUMNS", str(width))
    for module, path, command in EVERY:
        shown = here(module, *path, "--help")
        where = f"{module} {' '.join(path)} at {width}"
        assert shown.returncode == 0, where
        for text in texts(command):
            for bracketed in re.findall(r"\[[^\]]*\]", text):
                assert bare(bracketed) in bare(shown.stdout), f"{where}: {bracketed}"
        lines = [line.rstrip() for line in shown.stdout.partition("╭")[0].splitlines()]
        for line, following in itertools.pairwise(lines):
            word = following.split(" ")[1:2] if following.startswith(" ") else []
            if not line or not word or not word[0] or re.match(r" +[•]|   ", line + following):
                continue  # the end of a paragraph, an example, or an item of a list
            assert len(line) + 1 + len(word[0]) > width - 2, f"{where}: {line!r}"
