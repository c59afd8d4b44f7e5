"""The command lines with toy studies in the catalog: whole runs without data and training.

``toyland`` has a small run of its own, ``plainland`` has none. All is done in this process.
"""

import os
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest
from test_objectives import Sized
from toy import TestSet, Toy

from studies import catalog
from studies.cli import foreground
from studies.protocol import holdout, phases

RUN = ("--track", "none", "--plain", "--engine", "inline")
FILE = """
import dataclasses
from toy import SPEC

STUDY = dataclasses.replace(SPEC, name={name!r}, trials=5, trials_per_choice=1, {more})
"""
SMALL = {"search.trials": 4}

_COMMAND = re.compile(r"python -m (studies\.run|studies|mnist_core)\b")


@pytest.fixture
def toyland(tmp_path, monkeypatch):
    """A folder that is worked in; the catalog has two toys more, whose data is never looked at.

    The patches are those of the test's own ``monkeypatch``: two that are undone in the wrong order
    leave the working directory and the catalog as they are here.
    """
    place = tmp_path / "toyland"
    files = place / "catalog"
    files.parent.mkdir()
    files.mkdir()
    catalog_of(place, "toyland", f"quick={SMALL}")
    catalog_of(place, "plainland")
    (place / "conf.toml").write_text("search.trials = 3\nconfirm.seeds = 2\n")
    monkeypatch.setattr(catalog, "__path__", [*catalog.__path__, str(files)])
    monkeypatch.setattr(foreground, "with_data", lambda plan, engine, say: plan.with_data("toys"))
    monkeypatch.setattr(phases, "build_objective", build)
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})
    monkeypatch.setattr(phases, "read_confirmed", read_confirmed)
    monkeypatch.chdir(place)
    return place


def catalog_of(place, name, more=""):
    """Write the study ``name`` of the toyland at ``place``; ``more``: of its specification."""
    (place / "catalog" / f"{name}.py").write_text(FILE.format(name=name, more=more))
    sys.modules.pop(f"studies.catalog.{name}", None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Runs ``toyland`` once for all tests of a module that want it with the same words."""
    kept = {}

    def run(here, *words):
        if words in kept:
            shutil.copytree(kept[words], Path.cwd(), dirs_exist_ok=True)
            return
        done = here("studies.run", "toyland", *RUN, *words)
        assert done.returncode == 0, done.stderr
        kept[words] = tmp_path_factory.mktemp("kept") / "place"
        shutil.copytree(Path.cwd(), kept[words])

    return run


def build(plan, keep_models):
    """The toy objective; ``label_smoothing=0.5`` fails all of them."""
    if plan.settings.search.objectives:
        return Sized(keep_models)
    failing = ("sgd", "adam", "adagrad") if plan.train.label_smoothing == 0.5 else ()
    return Interrupting(keep_models, failing=failing)


class Interrupting(Toy):
    """Presses Ctrl-C in its second trial where there is a file ``interrupt``."""

    def __call__(self, task, report):
        if task.number == 1 and Path("interrupt").exists():
            Path("interrupt").unlink()
            os.kill(os.getpid(), signal.SIGINT)
        return super().__call__(task, report)


def read_confirmed(*arguments, read=None, **options):
    del read
    return holdout.read_confirmed(*arguments, read=TestSet(), **options)


def commands(text: str) -> list[list[str]]:
    """Return each command in ``text`` as words: from ``python -m`` to a backtick or its line's end.

    What follows an unquoted ``;`` or ``, `` is prose.
    """
    found = []
    for match in _COMMAND.finditer(text):
        quoted = match.start() > 0 and text[match.start() - 1] == "`"
        rest = text[match.start() :]
        end = rest.find("`") if quoted else len(rest.splitlines()[0])
        lexer = shlex.shlex(rest[:end], posix=True, punctuation_chars=";")
        lexer.whitespace_split, lexer.commenters = True, ""
        words = []
        for word in lexer:
            if word == ";":
                break
            words.append(word)
        found.append(words)
    return found
