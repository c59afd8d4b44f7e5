"""The installed programs: ``studies`` and ``mnist-core`` are what ``python -m`` starts."""

import shlex
import sys
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401
from programs import HERE
from toyland import toyland  # noqa: F401

from mnist_core.commands import options as trainer_options
from mnist_core.console import shell_words
from studies.cli import completing, foreground

ROOT = HERE.parent
RUN = ("--track", "none", "--plain", "--engine", "inline")


@pytest.mark.parametrize(
    ("started_as", "shown"),
    [
        ("/v/bin/studies", "studies run x"),
        ("/v/bin/mnist-core", "studies run x"),
        ("C:/v/Scripts/studies.exe", "studies run x"),
        ("/v/studies/__main__.py", "python -m studies.run x"),
        ("/v/studies/run.py", "python -m studies.run x"),
        ("-c", "python -m studies.run x"),
    ],
)
def test_a_command_is_printed_in_the_form_that_was_used(monkeypatch, started_as, shown):
    monkeypatch.setattr(sys, "argv", [started_as])
    assert shell_words.command("studies.run", "x") == shown
    text = "see `python -m studies.run x`, python -m studies.tracking is none of them"
    assert shell_words.as_started(text) == text.replace("python -m studies.run x", shown)


def test_a_process_of_a_script_does_not_look_in_the_working_directory(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/v/bin/studies"])
    assert shell_words.python() == [sys.executable, "-P"]
    monkeypatch.setattr(sys, "argv", ["/v/studies/run.py"])
    assert shell_words.python() == [sys.executable]


@pytest.mark.parametrize("program", ["bin/studies", "bin/mnist-core", "studies", "mnist_core"])
def test_each_program_tells_its_version(here, program):  # noqa: F811
    done = here(program, "--version")
    assert done.returncode == 0 and done.stdout.startswith("mnist-studies ")


def test_the_file_of_settings_is_printed_as_it_is(here):  # noqa: F811
    done = here("studies", "config")
    assert done.stdout == (ROOT / "conf.toml").read_text(encoding="utf-8")
    assert (ROOT / "studies/conf.toml").resolve() == ROOT / "conf.toml"


def test_help_names_commands_in_the_form_that_was_used(here):  # noqa: F811
    for words in (["run", "--help"], ["report", "--help"]):
        by_script, as_module = here("bin/studies", *words), here("studies", *words)
        assert "python -m" not in by_script.stdout and "python -m" in as_module.stdout
    assert "python -m" not in here("bin/mnist-core", "train", "--help").stdout
    assert "python -m" not in here("bin/studies", "config").stdout


def test_a_study_run_by_the_script_prints_no_module(here, toyland):  # noqa: F811
    done = here("bin/studies", "run", "toyland", *RUN)
    assert done.returncode == 0, done.stderr
    texts = [done.stdout, done.stderr]
    texts += [here("bin/studies", word, "toyland").stdout for word in ("status", "audit", "show")]
    folder = Path("results/toyland")
    texts += [(folder / name).read_text() for name in ("report.md", "best_config.toml")]
    for text in texts:
        assert "python -m" not in text
    assert "studies dashboard toyland" in done.stdout


@pytest.fixture
def hints(monkeypatch):
    """What a study says straight to the file of stderr, which pytest does not see here."""
    said = []
    monkeypatch.setattr(foreground, "_say", said.append)
    return said


def test_an_interrupted_study_names_the_command_that_resumes_it(
    here,  # noqa: F811
    toyland,  # noqa: F811
    hints,
):
    Path("interrupt").touch()
    words = ["run", "toyland", "--trials", "3", *RUN]
    done = here("bin/studies", *words)
    assert done.returncode == 130
    again = hints[-1].rpartition("Resume with: ")[2]
    assert shlex.split(again) == ["studies", *words]
    assert here("bin/studies", *shlex.split(again)[1:]).returncode == 0


def test_run_is_a_command_of_the_module_too(here, toyland, hints):  # noqa: F811
    Path("interrupt").touch()
    assert here("studies", "run", "toyland", "--trials", "3", *RUN).returncode == 130
    again = shlex.split(hints[-1].rpartition("Resume with: ")[2])
    assert again[:4] == ["python", "-m", "studies.run", "toyland"]
    assert here(*again[2:]).returncode == 0


def test_a_shell_completes_names(toyland):  # noqa: F811
    log = Path("results/optim_search-quick/events.jsonl")
    log.parent.mkdir(parents=True)
    log.touch()
    assert completing.study("opt") == ["optim_search"]
    assert completing.study("results/") == [str(log.parent)]
    assert completing.data_set("fas") == ["fashion_mnist"]
    assert completing.kind_of_leftover("mo") == ["models"]
    assert trainer_options.model_names("net_d") == ["net_deep"]
